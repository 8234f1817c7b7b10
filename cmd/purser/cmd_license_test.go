package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/models"
)

// verified is what `license verify` prints.
type verified struct {
	Valid   bool            `json:"valid"`
	Payload json.RawMessage `json:"payload"`
}

func (s *site) verifies(t *testing.T, publicKey, key string) json.RawMessage {
	t.Helper()
	var v verified
	out := s.does(t, "license", "verify", "--public-key", publicKey, key)
	if err := json.Unmarshal([]byte(out), &v); err != nil || !v.Valid {
		t.Fatalf("%v: %s", err, out)
	}
	return v.Payload
}

func TestLicenseVerifyPublishedVector(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../handlers/license/testdata/keygen-signed-key.json")
	if err != nil {
		t.Fatal(err)
	}
	var vector struct {
		PublicKeyHex string `json:"public_key_hex"`
		Key          string
	}
	if err := json.Unmarshal(content, &vector); err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	file := filepath.Join(s.dir, "key.pub")
	writeFile(t, file, vector.PublicKeyHex+"\n")
	public, err := license.ParsePublicKey(vector.PublicKeyHex)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := license.PublicKeyPEM(public)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{vector.PublicKeyHex, "@" + file, pem} {
		if payload := s.verifies(t, form, vector.Key+"\n"); strings.Join(strings.Fields(string(payload)), "") != `{"test":1}` {
			t.Errorf("the payload is %s", payload)
		}
	}
	other := strings.Repeat("3d", 32)
	s.refuses(t, exitFailure, []string{"license: "}, "license", "verify", "--public-key", other, vector.Key)
	s.refuses(t, exitFailure, []string{"license: "}, "license", "verify", "--public-key", vector.PublicKeyHex, "TEMPLATE-KEY")
	s.refuses(t, exitUsage, []string{"--public-key"}, "license", "verify", "--public-key", "no key", vector.Key)
	s.refuses(t, exitFailure, []string{"--public-key", "nowhere"}, "license", "verify", "--public-key", "@nowhere", vector.Key)
	s.refuses(t, exitUsage, []string{`"public-key" not set`}, "license", "verify", vector.Key)
	s.refuses(t, exitUsage, []string{"takes a licence key"}, "license", "verify", "--public-key", vector.PublicKeyHex)
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 1 {
		t.Errorf("verifying must leave nothing behind: %v, %v", entries, err)
	}
}

// TestLicenseVerifyOfAnOrder buys a signed licence, and checks it as the merchant's program would, without the installation.
func TestLicenseVerifyOfAnOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.env = append(s.env, "PURSER_DATA_DIR="+s.dir+"/data")
	c := client{base: s.serve(t, "run", "--demo")}
	seed, err := readSeed(filepath.Join(s.dir, "data", demoFile))
	if err != nil {
		t.Fatal(err)
	}
	c.key = seed.APIKeyTest
	o, err := c.order("ada@"+customerDomain, line{"studio", 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.pay(o.ID, cardGood); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() bool {
		if o, err = c.get(o.ID); err != nil {
			t.Fatal(err)
		}
		return o.FulfillmentStatus == models.Delivered
	}, func() string { return "the order is delivered" })
	var product struct {
		License struct {
			PublicKey string `json:"public_key"`
		}
	}
	c.must(t, http.MethodGet, "/v1/products/studio", nil, &product, http.StatusOK)

	outside := newSite(t)
	for unit, l := range o.Items[0].Licenses {
		var says license.Payload
		payload := outside.verifies(t, product.License.PublicKey, l.Key)
		if err := json.Unmarshal(payload, &says); err != nil {
			t.Fatal(err)
		}
		if says.Order != o.ID || says.OrderNumber != o.Number || says.Item != o.Items[0].ID || says.Unit != unit+1 || says.SKU != "studio" || !says.Test {
			t.Errorf("the payload is %s", payload)
		}
		tampered := []byte(l.Key)
		middle := strings.IndexByte(l.Key, '.') / 2
		tampered[middle] ^= 1
		outside.refuses(t, exitFailure, []string{"license: "}, "license", "verify", "--public-key", product.License.PublicKey, string(tampered))
	}
}
