package models

// DoctorProblems lists what the doctor can find by queries, so that a test can hold its cases against it.
func DoctorProblems() (problems []string) {
	for _, c := range doctorChecks {
		problems = append(problems, c.problem)
	}
	for _, c := range ownershipChecks() {
		problems = append(problems, c.problem)
	}
	return problems
}

// References lists the references that the doctor checks, as table.column.
func References() (all []string) {
	for _, r := range references {
		all = append(all, r.table+"."+r.column)
	}
	return all
}
