package api

import "github.com/purser-dev/purser/models"

// logged is the text of an error for the log, without what a database quotes in it.
func logged(err error) string { return models.ErrorText(err) }
