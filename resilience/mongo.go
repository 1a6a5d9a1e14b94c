package resilience

// mongoCode is a code of MongoDB's server with its name.
type mongoCode struct {
	code  int
	class Class
	name  string
}

// mongoCodes are by the server's error_codes.yml; the order is that of the questions.
var mongoCodes = [...]mongoCode{
	{11000, ClassInvalid, "DuplicateKey"},
	{112, ClassConflict, "WriteConflict"},
	{246, ClassConflict, "SnapshotUnavailable"},
	{251, ClassConflict, "NoSuchTransaction"},
	{50, ClassTimeout, "MaxTimeMSExpired"},
	{262, ClassTimeout, "ExceededTimeLimit"},
	{64, ClassTimeout, "WriteConcernTimeout"},
	{89, ClassTimeout, "NetworkTimeout"},
	{202, ClassTimeout, "NetworkInterfaceExceededTimeLimit"},
	{6, ClassUnavailable, "HostUnreachable"},
	{7, ClassUnavailable, "HostNotFound"},
	{91, ClassUnavailable, "ShutdownInProgress"},
	{133, ClassUnavailable, "FailedToSatisfyReadPreference"},
	{134, ClassUnavailable, "ReadConcernMajorityNotAvailableYet"},
	{189, ClassUnavailable, "PrimarySteppedDown"},
	{9001, ClassUnavailable, "SocketException"},
	{10107, ClassUnavailable, "NotWritablePrimary"},
	{11600, ClassUnavailable, "InterruptedAtShutdown"},
	{11602, ClassUnavailable, "InterruptedDueToReplStateChange"},
	{13435, ClassUnavailable, "NotPrimaryNoSecondaryOk"},
	{13436, ClassUnavailable, "NotPrimaryOrSecondary"},
	{11601, ClassCanceled, "Interrupted"},
	{146, ClassOverloaded, "ExceededMemoryLimit"},
	{14031, ClassOverloaded, "OutOfDiskSpace"},
	{462, ClassOverloaded, "IngressRequestRateLimitExceeded"},
	{13, ClassUnauthorized, "Unauthorized"},
	{18, ClassUnauthorized, "AuthenticationFailed"},
	{391, ClassUnauthorized, "ReauthenticationRequired"},
	{8000, ClassUnauthorized, "AtlasError"},
	{26, ClassNotFound, "NamespaceNotFound"},
	{27, ClassNotFound, "IndexNotFound"},
	{43, ClassNotFound, "CursorNotFound"},
	{1, ClassInternal, "InternalError"},
	{8, ClassInternal, "UnknownError"},
	{59, ClassPermanent, "CommandNotFound"},
	{2, ClassInvalid, "BadValue"},
	{9, ClassInvalid, "FailedToParse"},
	{14, ClassInvalid, "TypeMismatch"},
	{20, ClassInvalid, "IllegalOperation"},
	{48, ClassInvalid, "NamespaceExists"},
	{52, ClassInvalid, "DollarPrefixedFieldName"},
	{66, ClassInvalid, "ImmutableField"},
	{72, ClassInvalid, "InvalidOptions"},
	{85, ClassInvalid, "IndexOptionsConflict"},
	{86, ClassInvalid, "IndexKeySpecsConflict"},
	{121, ClassInvalid, "DocumentValidationFailure"},
	{263, ClassInvalid, "OperationNotSupportedInTransaction"},
	{10334, ClassInvalid, "BSONObjectTooLarge"},
	{40415, ClassInvalid, "IDLUnknownField"},
}

// askMongo asks for the labels that tell what may be repeated, and for codes.
func (f *finding) askMongo(err error) {
	e := err.(interface{ HasErrorLabel(string) bool })
	if e.HasErrorLabel("TransientTransactionError") {
		f.set(with(ClassConflict, "TransientTransactionError", "mongo"), rankDriver)
		return
	}
	if e.HasErrorLabel("SystemOverloadedError") {
		f.set(with(ClassOverloaded, "SystemOverloadedError", "mongo"), rankDriver)
		return
	}
	if c, ok := err.(interface{ HasErrorCode(int) bool }); ok {
		for _, m := range mongoCodes {
			if c.HasErrorCode(m.code) {
				i := with(m.class, m.name, "mongo")
				i.Retryable = i.Retryable && m.name != "OutOfDiskSpace"
				f.set(i, rankDriver)
				return
			}
		}
	}
	if e.HasErrorLabel("RetryableWriteError") || e.HasErrorLabel("NetworkError") {
		f.set(with(ClassUnavailable, "", "mongo"), rankDriver)
	}
}
