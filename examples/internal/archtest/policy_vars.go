package archtest

// repositoryVars lists the package-level variables of this module besides
// error sentinels, one by one, with the reason why each is at package level.
func repositoryVars() map[string]Var {
	vars := map[string]Var{}
	permit := func(kind VarKind, why string, names ...string) {
		for _, name := range names {
			vars[name] = Var{Kind: kind, Why: why}
		}
	}
	permit(Table, "texts of an enum's values, read by String and UnmarshalText",
		"dbindex.constraintNames", "dbindex.familyNames", "dbindex.methodNames", "dbindex.kindNames", "dbindex.nullsNames",
		"dbindex.opNames", "dbindex.severityNames", "dbindex/live.outcomeNames",
		"imageopt.anchorNames", "imageopt.filterNames", "imageopt.fitNames", "imageopt.formatNames", "imageopt.metadataNames", "imageopt.placeholderNames", "imageopt.truncationNames",
		"memory.policyNames", "resilience.classNames", "resilience.jitterNames", "resilience.stateNames", "resilience.stopNames")
	permit(Table, "CRC-32C, which the standard library builds at run time only",
		"cache.castagnoli", "cdn.castagnoli")
	permit(Table, "media types and their file name extensions",
		"cdn.knownExt", "cdn/cloudinarycdn.imageTypes", "cdn/cloudinarycdn.extensions")
	permit(Table, "what is known of a time that is over", "resilience.timedOut")
	permit(Table, "status texts of proxies", "resilience.proxyRefusals")
	permit(Table, "order of a plan's steps", "dbindex.stepRank")
	permit(Table, "constants of SHA-256", "dbindex.sha256Constants")
	permit(Table, "matrix of a colour space", "imageopt/internal/icc.d50ToSRGB")
	permit(Table, "orders and limits of JPEG's coefficients", "imageopt/internal/jpegdec.zigzag", "imageopt/internal/jpegdec.limits", "imageopt/internal/jpegenc.zigzag", "imageopt/internal/jpegenc.unzigzag")
	permit(Table, "quantisers of the JPEG standard", "imageopt/internal/jpegenc.standard")
	permit(Table, "what the processor can do", "imageopt/internal/resample.avx2", "imageopt/internal/jpegenc.avx2", "imageopt/internal/jpegdec.avx2")
	permit(Table, "names of the runtime's metrics, by index", "memory.metricNames")
	permit(Table, "names that PERF_REQUIRE knows", "internal/realtest.services")
	permit(Table, "names that -off takes", "examples/chatserver.blocks")
	permit(Table, "names of the embedded photos", "examples/chatserver.photoNames")
	permit(Table, "headers that an emulated object keeps", "examples/chatserver/internal/emulate.kept")
	permit(Table, "words and the last moment of the seeded data",
		"examples/chatserver/internal/store.topics", "examples/chatserver/internal/store.words", "examples/chatserver/internal/store.end")
	permit(Table, "what the emulated services do in a minute",
		"examples/chatserver.aiScript", "examples/chatserver.cdnScript")
	permit(Table, "the blocks' errors as problems", "examples/chatserver.known")
	permit(Table, "fixed time of the first migration file", "examples/chatserver.migratedAt")
	permit(Table, "widths of an upload's variants", "examples/chatserver.uploadWidths")
	permit(Table, "meaning and names of RPC codes", "resilience.rpcCodes")
	permit(Table, "what errors and codes of others mean, by value, text, type name or number",
		"resilience.sentinels", "resilience.sentinelTexts", "resilience.texts", "resilience.formats", "resilience.protocolTexts",
		"resilience.standardTypes", "resilience.alerts", "resilience.http2Codes", "resilience.redisCodes", "resilience.mongoCodes",
		"resilience.mysqlCodes", "resilience.sqliteCodes", "resilience.statusCodes")
	permit(Table, "types that packages fmt and errors do not export", "resilience.wrapType", "resilience.textType")
	permit(Memo, "how to read an error's code, by reflect.Type", "resilience.foreignTypes")
	permit(Memo, "how to size a type, by reflect.Type", "memory.plans")
	permit(Pool, "histograms of a GIF's colours, large and short-lived", "imageopt/internal/quant.cells")
	permit(Table, "size classes of the runtime's allocator", "memory.sizeClasses")
	permit(Embedded, "files of the pages",
		"examples/chatserver.webFiles", "examples/chatserver.photoFiles",
		"examples/chatserver/internal/perfpage.assets", "examples/chatserver/internal/perfpage.pageHTML")
	return vars
}
