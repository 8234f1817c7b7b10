package main

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	settings := func(pairs ...string) (list []debug.BuildSetting) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return list
	}
	for _, tt := range []struct {
		name, stamped, module string
		settings              []debug.BuildSetting
		version, revision     string
	}{
		{"what the linker was told wins", "v2", "v1", nil, "v2", ""},
		{"go install", "", "v1.2.3", nil, "v1.2.3", ""},
		{"working copy", "", "(devel)", settings("vcs.revision", "abc", "vcs.modified", "false"), "", "abc"},
		{"changed working copy", "v2", "(devel)", settings("vcs.modified", "true", "vcs.revision", "abc"), "v2", "abc+changes"},
		{"no revision", "v2", "", settings("vcs.modified", "true"), "v2", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := versionInfo{Version: tt.stamped}
			v.complete(&debug.BuildInfo{Main: debug.Module{Version: tt.module}, Settings: tt.settings})
			if v.Version != tt.version || v.Revision != tt.revision {
				t.Errorf("got %q %q, want %q %q", v.Version, v.Revision, tt.version, tt.revision)
			}
		})
	}
	v := readVersion("")
	if v.Version == "" || v.Go != runtime.Version() {
		t.Errorf("got %+v", v)
	}
	if text := readVersion("v9").String(); !strings.HasPrefix(text, "purser v9") || !strings.Contains(text, "\n"+runtime.Version()+" "+runtime.GOOS+"/") {
		t.Errorf("got %q", text)
	}
}
