package resilience

// rpcCode is what a code of google.rpc means, with its names in gRPC and Connect.
type rpcCode struct {
	class         Class
	grpc, connect string
}

// rpcCodes is immutable and indexed by code.
var rpcCodes = [...]rpcCode{
	1:  {ClassCanceled, "CANCELLED", "canceled"},
	2:  {ClassUnknown, "UNKNOWN", "unknown"},
	3:  {ClassInvalid, "INVALID_ARGUMENT", "invalid_argument"},
	4:  {ClassTimeout, "DEADLINE_EXCEEDED", "deadline_exceeded"},
	5:  {ClassNotFound, "NOT_FOUND", "not_found"},
	6:  {ClassInvalid, "ALREADY_EXISTS", "already_exists"},
	7:  {ClassUnauthorized, "PERMISSION_DENIED", "permission_denied"},
	8:  {ClassThrottled, "RESOURCE_EXHAUSTED", "resource_exhausted"},
	9:  {ClassInvalid, "FAILED_PRECONDITION", "failed_precondition"},
	10: {ClassConflict, "ABORTED", "aborted"},
	11: {ClassInvalid, "OUT_OF_RANGE", "out_of_range"},
	12: {ClassPermanent, "UNIMPLEMENTED", "unimplemented"},
	13: {ClassInternal, "INTERNAL", "internal"},
	14: {ClassUnavailable, "UNAVAILABLE", "unavailable"},
	15: {ClassInternal, "DATA_LOSS", "data_loss"},
	16: {ClassUnauthorized, "UNAUTHENTICATED", "unauthenticated"},
}

func grpcInfo(_ error, n int64) Info { return rpcInfo(n, "grpc") }

func connectInfo(_ error, n int64) Info { return rpcInfo(n, "connect") }

func rpcInfo(n int64, source string) Info {
	if n < 1 || n >= int64(len(rpcCodes)) {
		return Info{}
	}
	c := rpcCodes[n]
	i := with(c.class, c.grpc, source)
	if source == "connect" {
		i.Code = c.connect
	}
	if n == 2 || n == 13 || n == 15 { // The server failed in it; it may have begun.
		i.Retryable = false
	}
	return i
}
