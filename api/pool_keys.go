package api

import (
	"context"
	"fmt"
	"mime"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/models"
)

const plainText = "text/plain"

// PoolKeys is an upload of licence keys as JSON.
type PoolKeys struct {
	Keys []string `json:"keys" minItems:"1" doc:"At most 50,000 keys of at most 4,096 bytes. White space around a key is dropped."`
}

type addPoolKeysInput struct {
	ID          string `path:"id" doc:"The product's id or SKU." example:"editor-pro"`
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"text/plain"`
}

type poolUploadOutput struct{ Body *models.PoolUpload }

// poolUpload registers addPoolKeys. Huma reads one media type, of which this operation has two, so it gets the body as it came and
// the document gets the other one here.
func poolUpload(s *Server, op huma.Operation) {
	op.Errors = append(op.Errors, 422)
	does((*Server).addPoolKeys)(s, op)
	r := s.api.OpenAPI().Components.Schemas
	content := s.api.OpenAPI().Paths[op.Path].Post.RequestBody.Content
	content[plainText].Schema = &huma.Schema{Type: huma.TypeString, Description: "One key a line."}
	content[plainText].Example = "EDIT-7QK4M-9XHTR\nEDIT-2VPNB-W6CZD\n"
	content[jsonType] = &huma.MediaType{
		Schema:  r.Schema(reflect.TypeFor[PoolKeys](), true, ""),
		Example: PoolKeys{Keys: []string{"EDIT-7QK4M-9XHTR", "EDIT-2VPNB-W6CZD"}},
	}
}

func (s *Server) addPoolKeys(ctx context.Context, in *addPoolKeysInput) (*poolUploadOutput, error) {
	read := s.jsonKeys
	if mediaType, _, _ := mime.ParseMediaType(in.ContentType); mediaType == plainText {
		read = textKeys
	}
	keys, repeated, err := read(in.RawBody)
	if err != nil {
		return nil, err
	}
	up, err := s.store.AddPoolKeys(ctx, scope(ctx), in.ID, keys)
	if err != nil {
		return nil, problem(err)
	}
	up.Duplicates += repeated
	return &poolUploadOutput{Body: up}, nil
}

// textKeys reads one key a line. No error repeats a key.
func textKeys(body []byte) (keys []string, repeated int, err error) {
	keys, repeated, err = license.NormalizeKeys(string(body), models.MaxPoolUpload)
	switch {
	case err != nil:
		return nil, 0, invalid("keys", err.Error())
	case len(keys) == 0:
		return nil, 0, invalid("keys", "must have at least one key")
	}
	return keys, repeated, nil
}

// jsonKeys reads a PoolKeys. The store counts the keys that are in it twice.
func (s *Server) jsonKeys(body []byte) (keys []string, repeated int, err error) {
	r := s.api.OpenAPI().Components.Schemas
	var loose any
	if err := jsonFormat.Unmarshal(body, &loose); err != nil {
		return nil, 0, newProblem(codeMalformed, "")
	}
	path, found := huma.NewPathBuffer(nil, 0), &huma.ValidateResult{}
	huma.Validate(r, r.Schema(reflect.TypeFor[PoolKeys](), false, ""), path, huma.ModeWriteToServer, loose, found)
	if len(found.Errors) > 0 {
		return nil, 0, humaProblem(422, "", found.Errors...)
	}
	var upload PoolKeys
	if err := jsonFormat.Unmarshal(body, &upload); err != nil {
		return nil, 0, problem(err)
	}
	if len(upload.Keys) > models.MaxPoolUpload {
		return nil, 0, invalid("keys", fmt.Sprintf("may have at most %d keys", models.MaxPoolUpload))
	}
	var wrong []models.FieldError
	for i, key := range upload.Keys {
		if upload.Keys[i], err = license.NormalizeKey(key); err != nil {
			wrong = append(wrong, models.FieldError{Field: fmt.Sprintf("keys[%d]", i), Message: err.Error()})
		}
	}
	if len(wrong) > 0 {
		return nil, 0, withFields(codeInvalid, "", wrong[:min(len(wrong), maxFieldErrors)])
	}
	return upload.Keys, 0, nil
}

type poolSummaryOutput struct{ Body *models.PoolSummary }

func (s *Server) getPoolSummary(ctx context.Context, in *productInput) (*poolSummaryOutput, error) {
	v, err := s.store.PoolSummary(ctx, scope(ctx), in.ID)
	if err != nil {
		return nil, problem(err)
	}
	return &poolSummaryOutput{Body: v}, nil
}
