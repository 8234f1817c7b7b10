package api

import (
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestCreateOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		a := d.knock(t, ask{method: "POST", path: "/v1/orders", key: d.shop.TestKey, body: orderBody()}).ok(t, 201)
		t.Logf("%s", a.body)
		t.Log(a.header)
		t.Log(d.log)
	})
}
