package api

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// A merchant's colour is applied by a small stylesheet of its own, whose address is the colour: the policy of the pages allows no
// style within them, and browsers keep it for ever.

var brandHex = regexp.MustCompile(`^#[0-9a-f]{6}$`)

// brandSheetURL is the address of the stylesheet for a colour such as #0b6e4f, or empty for none.
func brandSheetURL(color string) string {
	color = strings.ToLower(color)
	if !brandHex.MatchString(color) {
		return ""
	}
	return "/assets/brand/" + color[1:] + "." + contentHash([]byte(brandSheet(color))) + ".css"
}

// serveBrandSheet answers the stylesheet of a colour.
func (s *Server) serveBrandSheet(c *fiber.Ctx) error {
	color, _, _ := strings.Cut(c.Params("file"), ".")
	if brandSheetURL("#"+color) != c.Path() {
		return fiber.ErrNotFound
	}
	c.Set(fiber.HeaderContentType, assetTypes[".css"])
	c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	return c.SendString(brandSheet("#" + color))
}

// The backgrounds on which links and focus rings stand, of purser.css: those with the least contrast in each scheme.
const (
	lightSunken = "#eef0ed"
	darkSunken  = "#212825"
)

// brandSheet is the stylesheet for a colour: the colour itself behind buttons, with the text on it that can be read, and for links
// and outlines the nearest shade of it that can be read on the page (WCAG 2.2 AA: 4.5 to 1), in both schemes.
func brandSheet(color string) string {
	rule := func(accent, strong, soft string) string {
		return fmt.Sprintf("--brand:%s;--on-brand:%s;--brand-strong:%s;--accent:%s;--accent-strong:%s;--accent-soft:%s",
			color, textOn(color), strongOf(color), accent, strong, soft)
	}
	light := shade(color, lightSunken, "#000000")
	dark := shade(color, darkSunken, "#ffffff")
	return ":root{" + rule(light, mix(light, "#000000", 0.25), mix(color, "#ffffff", 0.9)) + "}\n" +
		"@media (prefers-color-scheme:dark){:root{" + rule(dark, mix(dark, "#ffffff", 0.3), mix(color, "#101412", 0.8)) + "}}\n"
}

// shade moves a colour towards another, black or white, until it can be read on a background.
func shade(color, on, towards string) string {
	for share := 0.0; share < 1; share += 0.02 {
		if c := mix(color, towards, share); contrastOf(c, on) >= 4.6 {
			return c
		}
	}
	return towards
}

// textOn is black or white, whichever can be read better on a background. One of them always can: at least 4.58 to 1.
func textOn(background string) string {
	if contrastOf(background, "#ffffff") >= contrastOf(background, "#000000") {
		return "#ffffff"
	}
	return "#000000"
}

// strongOf is a background for the same text that is a little further away from it.
func strongOf(color string) string {
	if textOn(color) == "#ffffff" {
		return mix(color, "#000000", 0.18)
	}
	return mix(color, "#ffffff", 0.25)
}

func mix(a, b string, share float64) string {
	x, y := channels(a), channels(b)
	var out [3]int
	for i := range out {
		out[i] = int(math.Round(x[i]*(1-share) + y[i]*share))
	}
	return fmt.Sprintf("#%02x%02x%02x", out[0], out[1], out[2])
}

// contrastOf is the contrast ratio of WCAG 2.2.
func contrastOf(a, b string) float64 {
	x, y := luminanceOf(a), luminanceOf(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminanceOf is the relative luminance of WCAG 2.2, 0 for black to 1 for white.
func luminanceOf(color string) float64 {
	var sum float64
	for i, v := range channels(color) {
		if v /= 255; v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += []float64{0.2126, 0.7152, 0.0722}[i] * v
	}
	return sum
}

// channels are red, green and blue of #rrggbb, 0 to 255.
func channels(color string) (out [3]float64) {
	for i := range out {
		n, _ := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8) // brandHex has checked it
		out[i] = float64(n)
	}
	return out
}
