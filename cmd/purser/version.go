package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the build with -ldflags "-X main.version=v1.2.3"; without it the module's own version counts.
var version string

// versionInfo says what is running.
type versionInfo struct {
	// Version is never empty: "devel" for a build from a working copy.
	Version string
	// Revision is the commit, with "+changes" for a working copy that differs from it; "" when the build did not know.
	Revision string
	// Go is the toolchain's version.
	Go string
}

// readVersion prefers stamped, what the linker was told.
func readVersion(stamped string) versionInfo {
	v := versionInfo{Version: stamped, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if ok {
		v.complete(info)
	}
	if v.Version == "" {
		v.Version = "devel"
	}
	return v
}

func (v *versionInfo) complete(info *debug.BuildInfo) {
	if v.Version == "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	changed := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+changes"
		}
	}
	if v.Revision != "" {
		v.Revision += changed
	}
}

func (v versionInfo) String() string {
	text := "purser " + v.Version
	if v.Revision != "" {
		text += " (" + v.Revision + ")"
	}
	return fmt.Sprintf("%s\n%s %s/%s", text, v.Go, runtime.GOOS, runtime.GOARCH)
}
