package archtest

// Policy is what this module has decided: its layout, its dependencies and its
// few package-level variables. Folders are slash-separated, below the root.
type Policy struct {
	// Libraries are the top-level packages that never import each other.
	Libraries []string
	// TopLevel are all folders that the module may have at its root.
	TopLevel []string
	// Nested are the folders that may be modules of their own.
	Nested []string
	// Direct gives for a folder and those below it the third-party import
	// paths, with what lies below them, that non-test code may name. The
	// longest matching folder decides alone.
	Direct map[string][]string
	// InTests adds to Direct for _test.go files, by folder; "." is for all.
	InTests map[string][]string
	// Shown gives for exactly one folder the third-party import paths whose
	// types may stand in its exported declarations.
	Shown map[string][]string
	// Vars are the package-level variables besides error sentinels and blank
	// assertions, as folder.name, with their kind and reason.
	Vars map[string]Var
	// TestdataBytes bounds the sum of all files in testdata folders.
	TestdataBytes int64
	// FileLines and FuncLines are the most lines of a file and of a function.
	FileLines, FuncLines int
	// NoExample are constructors, as folder.name, whose examples can have no output.
	NoExample []string
	// Headings are those of a public library package's comment, in order.
	Headings []string
}

// Var is the permission for one package-level variable.
type Var struct {
	// Kind says what the variable is and so what is checked.
	Kind VarKind
	// Why tells why it must be at package level.
	Why string
}

// VarKind is the kind of a permitted package-level variable.
type VarKind int

// The kinds of package-level variables that STYLE permits.
const (
	// Table is never assigned to, in whole or in part, after its declaration,
	// nor is its address taken.
	Table VarKind = iota
	// Pool is a sync.Pool.
	Pool
	// Memo is a sync.Map that caches facts which do not change, such as those
	// about types.
	Memo
	// Embedded is filled by a go:embed directive.
	Embedded
)

// String returns the kind's name.
func (k VarKind) String() string {
	switch k {
	case Table:
		return "Table"
	case Pool:
		return "Pool"
	case Memo:
		return "Memo"
	case Embedded:
		return "Embedded"
	}
	return "unknown"
}

// Repository returns the policy of this module.
func Repository() Policy {
	const aws = "github.com/aws/aws-sdk-go-v2"
	var (
		otter     = []string{"github.com/maypok86/otter/v2", "github.com/klauspost/compress"}
		ristretto = []string{"github.com/dgraph-io/ristretto/v2"}
		rueidis   = []string{"github.com/redis/rueidis"}
		failsafe  = []string{"github.com/failsafe-go/failsafe-go"}
		mimetype  = []string{"github.com/gabriel-vasile/mimetype"}
		s3        = []string{aws + "/aws", aws + "/config", aws + "/credentials", aws + "/service/s3", aws + "/feature/cloudfront/sign", "github.com/aws/smithy-go"}
		images    = []string{"github.com/disintegration/imaging", "golang.org/x/image"}
		drivers   = []string{"github.com/jackc/pgx/v5", "modernc.org/sqlite"}
	)
	libraries := []string{"cache", "cdn", "dbindex", "imageopt", "memory", "resilience"}
	return Policy{
		Libraries: libraries,
		TopLevel:  join(libraries, []string{"examples", "internal"}),
		Nested:    []string{"examples/versus"},
		Direct: map[string][]string{
			"cache":                {otter[0], otter[1]},
			"cache/ristrettocache": ristretto,
			"cache/rediscache":     rueidis,
			"cache/cachetest":      nil,
			"resilience":           failsafe,
			"memory":               nil,
			"cdn":                  mimetype,
			"cdn/s3cdn":            join(mimetype, s3), // smithy-go: the type of the SDK's errors
			"cdn/cdnenv":           s3,
			"cdn/cloudinarycdn":    nil,
			"cdn/vercelcdn":        nil,
			"cdn/cdntest":          nil,
			"imageopt":             images,
			"dbindex":              nil,
			"internal":             nil,
			"examples":             join(otter, ristretto, rueidis, failsafe, mimetype, s3, images, drivers),
			"examples/internal":    nil,
		},
		InTests: map[string][]string{
			".": {"github.com/stretchr/testify"},
			// live and advisor run against real databases.
			"dbindex": drivers, "examples/internal": drivers,
		},
		Shown: map[string][]string{
			"cache/rediscache": rueidis, // the caller brings its client options
			"cdn/s3cdn":        s3,      // the caller may bring its configuration
			"resilience":       failsafe,
			// Policies of failsafe-go compose with ours.
			"resilience/resiliencehttp": failsafe,
		},
		// Both need a PostgreSQL server.
		NoExample:     []string{"dbindex/advisor.NewToggle", "dbindex/advisor.NewHypoPG"},
		Vars:          repositoryVars(),
		TestdataBytes: 1 << 20,
		FileLines:     800,
		FuncLines:     80,
		Headings:      []string{"Getting started", "Units", "Concurrency", "Errors", "Cost", "Limits", "Background"},
	}
}

func join(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
