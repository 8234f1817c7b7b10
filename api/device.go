package api

import (
	"crypto/hmac"
	"crypto/rand"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
)

// deviceCookie tells that somebody has signed in with this browser before (OWASP calls it a device cookie). Its tries are counted for
// itself, so that strangers who try an operator's email until it is shut do not shut out the operator. It opens nothing: whoever
// steals it may try as often as anybody else, once more.
const (
	deviceCookie   = "purser_device"
	deviceLifetime = 180 * 24 * time.Hour
)

// device is the number of the browser if somebody has signed in with it as email, else empty.
func (s *Server) device(c *fiber.Ctx, email string) string {
	number, signature, ok := strings.Cut(s.cookie(c, deviceCookie), ".")
	if !ok || !hmac.Equal([]byte(signature), []byte(s.store.Keys().DeviceSignature(email, number))) {
		return ""
	}
	return number
}

// rememberDevice makes the browser one that email has signed in with. The cookie does not tell whose it is.
func (s *Server) rememberDevice(c *fiber.Ctx, email string) {
	number := rand.Text()
	s.setCookie(c, deviceCookie, number+"."+s.store.Keys().DeviceSignature(email, number), int(deviceLifetime.Seconds()))
}
