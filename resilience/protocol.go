package resilience

import "strings"

// alertInfo describes an alert that the other side sent (RFC 8446, 6).
func alertInfo(_ error, n int64) Info {
	if k, ok := alerts[n]; ok {
		return k.info()
	}
	return with(ClassPermanent, "alert", "tls")
}

// alerts are those of the IANA registry of TLS. Those that answer a hello, or judge
// the certificate of the client, come before the server reads a request: what a TLS
// 1.3 client has sent already is dropped (Go's has no authentication after the
// handshake). The others may come at any time. A handshake that cannot succeed is a
// matter of configuration and does not speak against the other side's health.
var alerts = map[int64]known{
	0:   {ClassUnavailable, 0, "close_notify", "tls"},
	10:  {ClassPermanent, 0, "unexpected_message", "tls"},
	20:  {ClassUnavailable, 0, "bad_record_mac", "tls"}, // Damaged on the way, or by the other side.
	21:  {ClassUnavailable, 0, "decryption_failed", "tls"},
	22:  {ClassPermanent, 0, "record_overflow", "tls"},
	30:  {ClassPermanent, 0, "decompression_failure", "tls"},
	40:  {ClassPermanent, unsent, "handshake_failure", "tls"},
	42:  {ClassUnauthorized, unsent, "bad_certificate", "tls"},
	43:  {ClassUnauthorized, unsent, "unsupported_certificate", "tls"},
	44:  {ClassUnauthorized, unsent, "certificate_revoked", "tls"},
	45:  {ClassUnauthorized, unsent, "certificate_expired", "tls"},
	46:  {ClassUnauthorized, unsent, "certificate_unknown", "tls"},
	47:  {ClassPermanent, 0, "illegal_parameter", "tls"},
	48:  {ClassUnauthorized, unsent, "unknown_ca", "tls"},
	49:  {ClassUnauthorized, unsent, "access_denied", "tls"},
	50:  {ClassPermanent, 0, "decode_error", "tls"},
	51:  {ClassPermanent, 0, "decrypt_error", "tls"},
	60:  {ClassPermanent, unsent, "export_restriction", "tls"},
	70:  {ClassPermanent, unsent, "protocol_version", "tls"},
	71:  {ClassPermanent, unsent, "insufficient_security", "tls"},
	80:  {ClassInternal, 0, "internal_error", "tls"},
	86:  {ClassPermanent, unsent, "inappropriate_fallback", "tls"},
	90:  {ClassUnavailable, 0, "user_canceled", "tls"},
	100: {ClassPermanent, 0, "no_renegotiation", "tls"},
	109: {ClassPermanent, unsent, "missing_extension", "tls"},
	110: {ClassPermanent, unsent, "unsupported_extension", "tls"},
	111: {ClassUnauthorized, unsent, "certificate_unobtainable", "tls"},
	112: {ClassPermanent, unsent, "unrecognized_name", "tls"},
	113: {ClassUnauthorized, unsent, "bad_certificate_status_response", "tls"},
	114: {ClassUnauthorized, unsent, "bad_certificate_hash_value", "tls"},
	115: {ClassUnauthorized, unsent, "unknown_psk_identity", "tls"},
	116: {ClassUnauthorized, unsent, "certificate_required", "tls"},
	120: {ClassPermanent, unsent, "no_application_protocol", "tls"},
	121: {ClassPermanent, unsent, "ech_required", "tls"},
}

// localAlert corrects what alertInfo says for an alert that this side sent, because
// it could not accept the other's certificate or messages.
func (f *finding) localAlert() {
	if f.info.Source == "tls" && f.info.Class == ClassUnauthorized {
		f.info.Class, f.info.NotSent, f.info.Counts = ClassPermanent, true, true
	}
}

// http2Codes are the error codes of RFC 9113, 7, by number.
var http2Codes = [...]known{
	0x0: {ClassUnavailable, 0, "NO_ERROR", "http"},
	0x1: {ClassInternal, 0, "PROTOCOL_ERROR", "http"},
	0x2: {ClassInternal, 0, "INTERNAL_ERROR", "http"},
	0x3: {ClassInternal, 0, "FLOW_CONTROL_ERROR", "http"},
	0x4: {ClassTimeout, 0, "SETTINGS_TIMEOUT", "http"},
	0x5: {ClassUnavailable, 0, "STREAM_CLOSED", "http"},
	0x6: {ClassInternal, 0, "FRAME_SIZE_ERROR", "http"},
	0x7: {ClassUnavailable, unsent, "REFUSED_STREAM", "http"}, // Before any processing (8.7).
	0x8: {ClassUnavailable, 0, "CANCEL", "http"},              // The other side gave the stream up.
	0x9: {ClassInternal, 0, "COMPRESSION_ERROR", "http"},
	0xa: {ClassUnavailable, 0, "CONNECT_ERROR", "http"},
	0xb: {ClassThrottled, 0, "ENHANCE_YOUR_CALM", "http"},
	0xc: {ClassPermanent, 0, "INADEQUATE_SECURITY", "http"},
	0xd: {ClassPermanent, 0, "HTTP_1_1_REQUIRED", "http"},
}

func streamInfo(_ error, n int64) Info {
	if n < 0 || n >= int64(len(http2Codes)) {
		return with(ClassInternal, "INTERNAL_ERROR", "http") // An unknown code counts as this one.
	}
	return http2Codes[n].info()
}

// connectionInfo describes the end of a whole connection: a code that refuses one
// stream does not say of the others that they were not processed.
func connectionInfo(err error, n int64) Info {
	i := streamInfo(err, n)
	i.NotSent = false
	return i
}

// goAwayInfo describes a connection that the server closed after a GOAWAY, while
// the request's stream was one of those that it may have processed.
func goAwayInfo(err error, n int64) Info { return connectionInfo(err, n) }

// recordInfo describes a record that TLS cannot read: the first one is that of a
// server without TLS, to which nothing was sent but a hello.
func recordInfo(err error, _ int64) Info {
	i := with(ClassPermanent, "record", "tls")
	if strings.HasPrefix(err.Error(), "tls: first record ") {
		i.Code, i.NotSent = "not_tls", true
	}
	return i
}

// protocolInfo describes an error of net/http that is told by its text.
func protocolInfo(err error, _ int64) Info {
	if k, ok := protocolTexts[err.Error()]; ok {
		return k.info()
	}
	return Info{}
}

// replyInfo describes a reply code of SMTP (RFC 5321, 4.2; RFC 4954, 6), whose first
// digit tells whether the same command may succeed later.
func replyInfo(_ error, n int64) Info {
	if n < 400 || n > 599 {
		return Info{}
	}
	c := ClassUnavailable
	switch n {
	case 432, 454, 530, 534, 535, 538:
		c = ClassUnauthorized
	case 452, 552:
		c = ClassOverloaded
	case 451:
		c = ClassInternal
	case 500, 501, 503, 553, 555:
		c = ClassInvalid
	case 502, 504:
		c = ClassPermanent
	case 550:
		c = ClassNotFound
	default:
		if n >= 500 {
			c = ClassPermanent
		}
	}
	i := with(c, statusCode(int(n)), "smtp")
	i.Retryable = n < 500
	return i
}

// protocolTexts are the values of the type http.ProtocolError.
var protocolTexts = map[string]known{
	"persistent connection closed":                     {ClassUnavailable, 0, "closed", "http"},
	"connection closed by user":                        {ClassPermanent, 0, "closed", "http"},
	"feature not supported":                            {ClassPermanent, 0, "unsupported", "http"},
	"missing ContentLength in HEAD response":           {ClassInternal, 0, "malformed", "http"},
	"pipeline error":                                   {ClassInvalid, 0, "misuse", "http"},
	"no multipart boundary param in Content-Type":      {ClassInvalid, 0, "form", "http"},
	"request Content-Type isn't multipart/form-data":   {ClassInvalid, 0, "form", "http"},
	"trailer header without chunked transfer encoding": {ClassInvalid, 0, "form", "http"},
	"header too long":                                  {ClassInvalid, 0, "form", "http"},
	"entity body too short":                            {ClassInvalid, 0, "form", "http"},
}
