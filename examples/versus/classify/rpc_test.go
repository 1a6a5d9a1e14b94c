package classify_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/perfblocks/perfblocks/resilience"
)

// meanings are the codes 1 to 16 as google/rpc/code.proto and gRPC's "Status codes
// and their use" describe them; UNAVAILABLE and ABORTED are those to retry. UNKNOWN,
// INTERNAL and DATA_LOSS count and promise nothing of a retry. All are variants of
// one reply.
func meanings() []want {
	return []want{
		{resilience.ClassCanceled, "CANCELLED", none}, {resilience.ClassUnknown, "UNKNOWN", counts},
		{resilience.ClassInvalid, "INVALID_ARGUMENT", none}, {resilience.ClassTimeout, "DEADLINE_EXCEEDED", retry | counts},
		{resilience.ClassNotFound, "NOT_FOUND", none}, {resilience.ClassInvalid, "ALREADY_EXISTS", none},
		{resilience.ClassUnauthorized, "PERMISSION_DENIED", none}, {resilience.ClassThrottled, "RESOURCE_EXHAUSTED", retry | counts},
		{resilience.ClassInvalid, "FAILED_PRECONDITION", none}, {resilience.ClassConflict, "ABORTED", retry},
		{resilience.ClassInvalid, "OUT_OF_RANGE", none}, {resilience.ClassPermanent, "UNIMPLEMENTED", none},
		{resilience.ClassInternal, "INTERNAL", counts}, {resilience.ClassUnavailable, "UNAVAILABLE", retry | counts},
		{resilience.ClassInternal, "DATA_LOSS", counts}, {resilience.ClassUnauthorized, "UNAUTHENTICATED", none},
	}
}

func grpcRows(t *testing.T) []row {
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var n uint32
		if _, err := fmt.Sscanf(method, "/test.S/%d", &n); err != nil {
			<-stream.Context().Done() // The deadline is the server's too, and may reach it first.
			return status.FromContextError(stream.Context().Err()).Err()
		}
		return status.Error(codes.Code(n), "told so")
	}))
	go s.Serve(l)
	t.Cleanup(s.Stop)
	client := func(addr string) *grpc.ClientConn {
		c := must[*grpc.ClientConn](t)(grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials())))
		t.Cleanup(func() { c.Close() })
		return c
	}
	c, none := client(l.Addr().String()), client(refused(t))
	call := func(c *grpc.ClientConn, method string, wait time.Duration) func(*testing.T) error {
		return func(t *testing.T) error {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			return c.Invoke(ctx, "/test.S/"+method, &emptypb.Empty{}, &emptypb.Empty{})
		}
	}
	rows := []row{
		{"gRPC refused", "gRPC, connectivity semantics: fail fast with UNAVAILABLE; the status does not say whether the call was sent", "refused", is(resilience.ClassUnavailable, "UNAVAILABLE", retry|counts|anyNotSent), call(none, "1", 5*time.Second)},
		{"gRPC deadline", "gRPC, deadlines", "DeadlineExceeded", is(resilience.ClassTimeout, "DEADLINE_EXCEEDED", retry|counts), call(c, "wait", 100*time.Millisecond)},
	}
	for i, w := range meanings() {
		w.flags |= variant
		rows = append(rows, row{"gRPC " + w.code, "google/rpc/code.proto", codes.Code(i + 1).String(), w, call(c, fmt.Sprint(i+1), 5*time.Second)})
	}
	return rows
}

// connectRows expects the codes as the Connect protocol writes them: lower case.
func connectRows(t *testing.T) []row {
	var code connect.Code
	mux := http.NewServeMux()
	mux.Handle("/test.S/Do", connect.NewUnaryHandler("/test.S/Do", func(context.Context, *connect.Request[emptypb.Empty]) (*connect.Response[emptypb.Empty], error) {
		return nil, connect.NewError(code, fmt.Errorf("told so"))
	}))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	call := func(base string) error {
		_, err := connect.NewClient[emptypb.Empty, emptypb.Empty](s.Client(), base+"/test.S/Do").CallUnary(t.Context(), connect.NewRequest(&emptypb.Empty{}))
		return err
	}
	rows := []row{{"Connect refused", "connect(2) ECONNREFUSED", "refused", is(resilience.ClassUnavailable, "", retry|counts|notSent), func(t *testing.T) error { return call("http://" + refused(t)) }}}
	for i, w := range meanings() {
		c := connect.Code(i + 1)
		w.code, w.flags = c.String(), w.flags|variant
		rows = append(rows, row{"Connect " + w.code, "connectrpc.com/docs/protocol#error-codes", w.code, w, func(*testing.T) error { code = c; return call(s.URL) }})
	}
	return rows
}
