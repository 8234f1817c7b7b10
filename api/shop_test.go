package api

import (
	"bytes"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestShopMessage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.app.Get("/try", func(c *fiber.Ctx) error {
			m, err := s.Merchant(c.UserContext(), d.shop.ID)
			if err != nil {
				return err
			}
			return d.shopMessage(c, 404, d.shopOf(c, m, ""), "common.not_found")
		})
		got := d.browser().get(t, "/try?locale=de").ok(t, 404)
		for _, want := range []string{`<html lang="de">`, "Hier ist nichts", "TESTMODUS"} {
			if !bytes.Contains(got.body, []byte(want)) {
				t.Errorf("no %s in %s", want, got.body)
			}
		}
	})
}
