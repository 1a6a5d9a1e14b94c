package resilience

import "strconv"

// askMSSQL knows the numbers of SQL Server and Azure SQL that pass with time, and
// those of wrong statements that are met most.
func (f *finding) askMSSQL(n int32) {
	i := mssqlClass(n).defaults()
	i.Code, i.Source = strconv.Itoa(int(n)), "sql"
	f.set(i, rankDriver)
}

func mssqlClass(n int32) Class {
	switch n {
	case 1205, 1222, 3960, 3966, 41302, 41305, 41325:
		return ClassConflict
	case 701, 802, 1105, 8645, 8651, 9002, 10928, 10936, 17809:
		return ClassOverloaded
	case 10929, 40501, 40544, 40549, 40550, 40551, 40552, 40553, 49918, 49919, 49920:
		return ClassThrottled
	case 233, 926, 3906, 4060, 4221, 6005, 10053, 10054, 10060, 11001, 40143, 40166, 40197, 40540, 40613, 42108, 42109:
		return ClassUnavailable
	case -2:
		return ClassTimeout
	case 229, 230, 262, 297, 300, 18452, 18456, 18470, 18486, 18487, 18488, 40532:
		return ClassUnauthorized
	case 102, 105, 107, 109, 110, 120, 137, 156, 201, 206, 207, 208, 213, 220, 241, 242, 245, 248, 257, 402, 515, 544,
		547, 2601, 2627, 2628, 2714, 2812, 3701, 4104, 8114, 8115, 8134, 8152, 8178:
		return ClassInvalid
	}
	return ClassUnknown
}
