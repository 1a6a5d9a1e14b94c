package classify_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/perfblocks/perfblocks/resilience"
)

// mongod speaks the wire protocol: it greets as a primary, and answers the commands
// find and insert with the reply, or closes the connection when there is none.
func mongod(t *testing.T, reply bson.D) *mongo.Client {
	greeting := bson.D{{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: true}, {Key: "ismaster", Value: true}, {Key: "helloOk", Value: true}, {Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 25},
		{Key: "maxBsonObjectSize", Value: 1 << 24}, {Key: "maxMessageSizeBytes", Value: 48000000}, {Key: "maxWriteBatchSize", Value: 100000}}
	addr := listen(t, func(c net.Conn) {
		for {
			var head [4]int32 // length, request, response to, operation.
			if binary.Read(c, binary.LittleEndian, &head) != nil {
				return
			}
			body := make([]byte, head[0]-16)
			if _, err := io.ReadFull(c, body); err != nil {
				return
			}
			doc, prefix, op := greeting, make([]byte, 5), int32(2013) // OP_MSG: flags, a body section.
			if head[3] == 2004 {                                      // OP_QUERY is answered by OP_REPLY.
				prefix, op = make([]byte, 20), 1
				prefix[16] = 1
			} else if bytes.Contains(body, []byte("\x02find\x00")) || bytes.Contains(body, []byte("\x02insert\x00")) {
				doc = reply
			}
			if doc == nil {
				return
			}
			out, err := bson.Marshal(doc)
			if err != nil {
				return
			}
			b := append(prefix, out...)
			_ = binary.Write(c, binary.LittleEndian, [4]int32{int32(len(b) + 16), 1, head[1], op})
			_, _ = c.Write(b)
		}
	})
	c := must[*mongo.Client](t)(mongo.Connect(options.Client().ApplyURI("mongodb://" + addr + "/?directConnection=true&retryReads=false&retryWrites=false").SetServerSelectionTimeout(5 * time.Second)))
	t.Cleanup(func() { _ = c.Disconnect(t.Context()) })
	return c
}

// mongoRows follows the MongoDB manual's error codes and the drivers' specifications
// of retryable reads and writes, whose labels the server sets.
func mongoRows(t *testing.T) []row {
	find := func(reply bson.D) func(*testing.T) error {
		return func(t *testing.T) error {
			return mongod(t, reply).Database("d").Collection("c").FindOne(t.Context(), bson.D{}).Err()
		}
	}
	fails := func(name string, code int, ref string, class resilience.Class, f flags, labels ...string) row {
		reply := bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: code}, {Key: "codeName", Value: name}, {Key: "errmsg", Value: "told so"}}
		if len(labels) > 0 {
			reply = append(reply, bson.E{Key: "errorLabels", Value: labels})
		}
		return row{"Mongo " + name, "MongoDB manual, error codes: " + ref, name, is(class, "", f), find(reply)}
	}
	write := func(field string, value any) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := mongod(t, bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 0}, {Key: field, Value: value}}).Database("d").Collection("c").InsertOne(t.Context(), bson.D{})
			return err
		}
	}
	return []row{
		fails("NotWritablePrimary", 10107, "retryable writes: a new primary is being chosen", resilience.ClassUnavailable, retry|counts, "RetryableWriteError"),
		fails("ShutdownInProgress", 91, "retryable reads: the server goes", resilience.ClassUnavailable, retry|counts, "RetryableWriteError"),
		fails("WriteConflict", 112, "transactions, TransientTransactionError: retry the transaction", resilience.ClassConflict, retry, "TransientTransactionError"),
		fails("MaxTimeMSExpired", 50, "maxTimeMS passed", resilience.ClassTimeout, retry|counts),
		fails("Unauthorized", 13, "not authorized", resilience.ClassUnauthorized, none),
		fails("NamespaceNotFound", 26, "ns does not exist", resilience.ClassNotFound, none),
		fails("CommandNotFound", 59, "no such command", resilience.ClassInvalid, none),
		{"Mongo duplicate key", "MongoDB manual, error codes: 11000 DuplicateKey", "11000", is(resilience.ClassInvalid, "", none), write("writeErrors", bson.A{bson.D{{Key: "index", Value: 0}, {Key: "code", Value: 11000}, {Key: "errmsg", Value: "E11000 duplicate key"}}})},
		{"Mongo write concern", "MongoDB manual, write concern: 64 WriteConcernTimeout: written here, not yet there; the retry is left open", "WriteConcernTimeout", is(resilience.ClassTimeout, "", counts|anyRetry), write("writeConcernError", bson.D{{Key: "code", Value: 64}, {Key: "codeName", Value: "WriteConcernTimeout"}, {Key: "errmsg", Value: "waiting for replication timed out"}, {Key: "errInfo", Value: bson.D{{Key: "wtimeout", Value: true}}}})},
		{"Mongo no documents", "go doc mongo.ErrNoDocuments", "no documents", is(resilience.ClassNotFound, "", none), find(bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "d.c"}, {Key: "firstBatch", Value: bson.A{}}}}})},
		{"Mongo connection closed", "drivers' specification, retryable reads: network errors", "closed", is(resilience.ClassUnavailable, "", retry|counts), find(nil)},
		{"Mongo client disconnected", "go doc mongo.ErrClientDisconnected: closed by ourselves, nothing sent", "disconnected", is(resilience.ClassPermanent, "", notSent), func(t *testing.T) error {
			c := mongod(t, nil)
			ok(t, c.Disconnect(t.Context()))
			return c.Ping(t.Context(), nil)
		}},
	}
}
