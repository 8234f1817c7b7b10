package mail

import (
	"html/template"
	"math"
	"regexp"
	"strconv"
)

const defaultBrand = "#1f4fd8"

var hexColor = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// brandColors returns the merchant's colour, or ours if it has none that we can use, and black or white, whichever is
// easier to read on it.
func brandColors(brand string) (background, text template.CSS) {
	if !hexColor.MatchString(brand) {
		brand = defaultBrand
	}
	l := luminance(brand)
	// Contrast as WCAG 2.2 defines it: (lighter + 0.05) / (darker + 0.05).
	if (1+0.05)/(l+0.05) >= (l+0.05)/0.05 {
		return template.CSS(brand), "#ffffff"
	}
	return template.CSS(brand), "#000000"
}

// luminance is the relative luminance of "#rrggbb" as WCAG 2.2 defines it, 0 for black to 1 for white.
func luminance(hex string) float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, _ := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
