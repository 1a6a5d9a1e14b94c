package resilience

import "strings"

// classifyAPICode knows the error codes of AWS and of services that copy them: the
// retryable ones by the AWS SDK's standard retry mode, those of S3 by its list of
// error responses, the others by the words that the names are made of.
func classifyAPICode(code string) Info {
	c := apiClass(code)
	if c == ClassUnknown {
		c = apiWords(code)
	}
	i := c.defaults()
	i.Code, i.Source = code, "api"
	if code == "PreconditionFailed" { // The same condition fails again.
		i.Retryable = false
	}
	return i
}

func apiClass(code string) Class {
	switch code {
	case "SlowDown", "RequestLimitExceeded", "ProvisionedThroughputExceededException", "BandwidthLimitExceeded",
		"TooManyRequestsException", "PriorRequestNotComplete", "LimitExceededException", "RequestThrottled",
		"RequestThrottledException", "EC2ThrottledException", "TransactionInProgressException", "TooManyRequests":
		return ClassThrottled
	case "RequestTimeout", "RequestTimeoutException", "DependencyTimeoutException", "OperationTimedOut":
		return ClassTimeout
	case "InternalError", "InternalFailure", "InternalServerError", "InternalServerException", "InternalServiceError",
		"InternalServiceException", "InternalException", "KMSInternalException", "ServiceException", "ServerException":
		return ClassInternal
	case "ServiceUnavailable", "ServiceUnavailableException", "Unavailable", "ServerBusy", "Busy", "ResponseInterrupted",
		"ConnectionClosedByRequester", "ClusterDownException", "KMS.KMSInvalidStateException":
		return ClassUnavailable
	case "OperationAborted", "ConditionalRequestConflict", "PreconditionFailed", "TransactionConflictException", "TransactionCanceledException",
		"ConcurrentModificationException", "ConflictException", "ReplicatedWriteConflictException",
		"ResourceInUseException", "ResourceConflictException", "OptimisticLockException":
		return ClassConflict
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidAccessKeyId", "InvalidClientTokenId",
		"InvalidToken", "InvalidSecurity", "InvalidSignature", "InvalidPayer", "InvalidSignatureException",
		"IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException", "MissingSecurityHeader",
		"MissingSecurityElement", "OptInRequired", "NotAuthorized", "NotSignedUp", "AccountProblem", "AllAccessDisabled",
		"SignatureDoesNotMatch", "UnrecognizedClientException", "AuthFailure", "AuthenticationFailed", "RequestExpired",
		"AuthorizationError", "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "RequestTimeTooSkewed",
		"KMS.DisabledException", "TokenCodeInvalidError", "UnexpectedIPError", "CrossLocationLoggingProhibited",
		"NotDeviceOwnerError", "UnsupportedSignature":
		return ClassUnauthorized
	case "NotFound", "404 Not Found", "NoLoggingStatusForKey", "ResourceNotFoundFault":
		return ClassNotFound
	case "NotImplemented", "PermanentRedirect", "TemporaryRedirect", "Redirect",
		"UnknownOperationException":
		return ClassPermanent
	}
	return apiRequest(code)
}

// apiRequest knows the codes of wrong requests whose words do not tell.
func apiRequest(code string) Class {
	switch code {
	case "AmbiguousGrantByEmailAddress", "BadDigest", "BadRequest", "BadRequestException", "BucketHasAccessPointsAttached",
		"BucketNotEmpty", "ClientTokenConflict", "ConditionalCheckFailedException", "CredentialsNotSupported",
		"DeviceNotActiveError", "EndpointNotFound", "EntityTooLarge", "EntityTooSmall", "IdempotentParameterMismatch",
		"IdempotentParameterMismatchException", "IllegalLocationConstraintException", "IncompleteBody",
		"IncorrectEndpoint", "IncorrectNumberOfFilesInPostRequest", "InlineDataTooLarge", "ItemCollectionSizeLimitExceededException",
		"KeyTooLongError", "MaxMessageLengthExceeded", "MaxPostPreDataLengthExceededError", "MetadataTooLarge",
		"MethodNotAllowed", "RequestHeaderSectionTooLarge", "RequestIsNotMultiPartContent",
		"RequestTorrentOfBucketError", "RestoreAlreadyInProgress", "TagPolicyException", "TooManyAccessPoints",
		"TooManyBuckets", "TooManyMultiRegionAccessPointregionsError", "UnexpectedContent", "UserKeyMustBeSpecified",
		"ValidationError", "ValidationException", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch",
		"AccessPointAlreadyOwnedByYou", "BucketAlreadyOwnedByYou", "QueueNameExists", "QueueDeletedRecently":
		return ClassInvalid
	}
	return ClassUnknown
}

// apiWords tells a code by how its name begins or ends.
func apiWords(code string) Class {
	bare := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(code, "Exception"), "Error"), "Fault")
	begins := func(word string) bool { return strings.HasPrefix(bare, word) }
	ends := func(word string) bool { return strings.HasSuffix(bare, word) }
	switch {
	case begins("Throttl"), ends("Throttled"), ends("Throttling"):
		return ClassThrottled
	case begins("AccessDenied"), ends("AccessDenied"), begins("Unauthorized"), begins("NotAuthorized"):
		return ClassUnauthorized
	case begins("NoSuch"), ends("NotFound"), ends("DoesNotExist"), ends("NonExistentQueue"):
		return ClassNotFound
	case begins("Invalid"), begins("Malformed"), begins("Missing"), begins("Illegal"), begins("Unsupported"),
		ends("AlreadyExists"), ends("NotSupported"), ends("Mismatch"):
		return ClassInvalid
	case ends("InProgress"), ends("Conflict"):
		return ClassConflict
	}
	return ClassUnknown
}
