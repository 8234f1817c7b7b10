package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// onlyIDs is an object of ids, of yes, and of the place in a trace (W3C Trace Context, section 3.2).
var onlyIDs = regexp.MustCompile(`^\{("[a-z]+":("[a-z]{3}_[0-9a-z]{26}"|true|"00-[0-9a-f]{32}-[0-9a-f]{16}-01"),?)*\}$`)

// lastly refuses the emails for good, and stops everything. What the licences are is known by now.
func (a *aviary) lastly(paid *models.OrderView) {
	a.Helper()
	o, err := a.shop.get(paid.ID)
	if err != nil {
		a.Fatal(err)
	}
	n := 0
	for _, item := range o.Items {
		for _, l := range item.Licenses {
			a.secret("a licence", l.Key)
			n++
		}
	}
	if n != 4 {
		a.Errorf("the order has %d licences, want 4", n)
	}
	for _, p := range slices.Backward(a.procs) {
		p.stop(a)
	}
}

// operators looks at everything that operators can see.
func (a *aviary) operators() (screens, commands map[string]string) {
	a.Helper()
	a.refuse("550 5.7.1")
	for text := range strings.Lines(a.site.does(a, "jobs", "list", "--kind", "email.send", "--limit", "1000")) {
		if id := strings.Fields(text)[0]; strings.Contains(text, " due ") {
			_, _, _ = a.site.tool(a, "", "jobs", "retry", id) // it may begin by itself meanwhile
		}
	}
	eventually(a, patience, func() bool { return strings.Contains(a.site.does(a, "jobs", "list", "--state", "dead"), "550 5.7.1") },
		func() string { return "an email is refused for good" })

	screens, commands = map[string]string{}, map[string]string{}
	a.personal[birdStaff] = "the email of a merchant's staff"
	exit, said, log := a.site.tool(a, birdRoost+"\n", "staff", "create", "--merchant", a.shop.created.Merchant.ID, "--email", birdStaff, "--role", models.RoleSupport)
	if exit != exitOK {
		a.Fatalf("exit code %d: %s", exit, log)
	}
	commands["purser staff create"] = strings.Replace(said, birdStaff, "", 1) + log // whom it has created it says
	browser := a.site.operatorAs(a, a.shop.base, birdOperator, birdPassword, func(cookies []*http.Cookie) {
		for _, c := range cookies {
			a.secret("the cookie "+c.Name, c.Value)
		}
	})
	a.personal[birdOperator] = "the operator's email"
	// Who comes to the wrong door, and who mistypes the password, leave no more behind than who comes in.
	for email, password := range map[string]string{birdStaff: birdRoost, birdOperator: birdMistyped} {
		if code, page := signIn(a, a.shop.base, email, password, func([]*http.Cookie) {})("/asynqmon/api/queues"); code == http.StatusOK {
			a.Fatalf("%s is let in: %s", email, page)
		}
	}
	code, queues := browser("/asynqmon/api/queues")
	if code != http.StatusOK {
		a.Fatalf("the queues: %d %s", code, queues)
	}
	paths := []string{"queues", "queue_stats", "servers", "scheduler_entries", "redis_info"}
	tasks := regexp.MustCompile(`"id":"([^"]+)"`)
	found := 0
	for _, q := range regexp.MustCompile(`"queue":"([a-z]+)"`).FindAllStringSubmatch(queues, -1) {
		paths = append(paths, "queues/"+q[1])
		for _, state := range []string{"pending", "active", "scheduled", "retry", "archived", "completed"} {
			path := "queues/" + q[1] + "/" + state + "_tasks"
			paths = append(paths, path+"?page=1&size=100")
			_, list := browser("/asynqmon/api/" + path)
			for _, task := range tasks.FindAllStringSubmatch(list, -1) {
				paths = append(paths, "queues/"+q[1]+"/tasks/"+task[1])
				found++
			}
		}
	}
	if found < 5 {
		a.Errorf("Asynqmon has %d tasks, too few to tell anything", found)
	}
	for _, path := range paths {
		_, screens["Asynqmon's "+path] = browser("/asynqmon/api/" + path)
	}
	for _, p := range a.procs {
		address := "http://" + p.logged(a, "started")["ops_address"]
		for _, path := range []string{"/metrics", "/readyz", "/healthz"} {
			_, screens[p.name+path] = get(a.T, address+path)
		}
	}
	list := a.site.does(a, "jobs", "list", "--limit", "1000")
	commands["purser jobs list"] = list
	for text := range strings.Lines(list) {
		id := strings.Fields(text)[0]
		if id == "ID" {
			continue
		}
		shown := a.site.does(a, "jobs", "show", id)
		commands["purser jobs show"] += shown
		var job struct{ Args json.RawMessage }
		if err := json.Unmarshal([]byte(shown), &job); err != nil {
			a.Fatal(err)
		}
		if args := strings.Join(strings.Fields(string(job.Args)), ""); !onlyIDs.MatchString(args) {
			a.Errorf("the arguments of a job are %s", args)
		}
	}
	_, said, log = a.site.tool(a, "", "doctor")
	commands["purser doctor"] = said + log
	commands["purser settings"] = a.site.does(a, "settings")
	commands["purser key list"] = a.site.does(a, "key", "list", "--merchant", a.shop.created.Merchant.ID)
	commands["what Redis holds"] = a.redis.Dump(a)
	return screens, commands
}

// traced is everything that the collector of traces was told, failures among it.
func (a *aviary) traced() string {
	a.Helper()
	a.spans.mu.Lock()
	defer a.spans.mu.Unlock()
	told := string(bytes.Join(a.spans.raw, nil))
	for _, failure := range []string{"451 4.7.1", "550 5.7.1", "status 500"} {
		if !strings.Contains(told, failure) {
			a.Errorf("the traces do not tell of %q", failure)
		}
	}
	if len(a.spans.wrong) > 0 {
		a.Errorf("the collector was told what it cannot read: %q", a.spans.wrong)
	}
	return told
}

// open is where it is meant to be: what only its own places may have.
var open = map[string][]string{
	// The first 2 KiB of what a receiver answers are kept as they came, as the README says.
	"delivery_attempts": {"response"},
}

func (a *aviary) search(places map[string]string, embedded bool) {
	a.Helper()
	places["what Redis was told"] = a.told.String()
	places["the problems that were answered"] = strings.Join(a.problems, "\n")
	places["the traces"] = a.traced()
	for _, p := range a.procs {
		places["the log of "+p.name] = p.log.String() + p.out.String()
	}
	for place, least := range map[string]int{"what Redis was told": 50_000, "what Redis holds": 2000, "the problems that were answered": 5000, "purser jobs show": 5000, "the traces": 20_000} {
		if len(places[place]) < least {
			a.Errorf("%s: there are only %d bytes to search", place, len(places[place]))
		}
	}

	s := a.openStore(embedded)
	rows, atRest := storetest.Dump(a, s), map[string]string{}
	for table, all := range rows {
		for _, row := range all {
			for column, value := range row {
				switch {
				case slices.Contains(open[table], column):
				case table == "jobs" || strings.Contains(column, "error"):
					places["the column "+column+" of "+table] += value + "\n"
				default:
					atRest["the column "+column+" of "+table] += value + "\n"
				}
			}
		}
	}
	if len(rows["jobs"]) < 20 || len(rows["licenses"]) < 4 || len(rows["idempotency_keys"]) < 1 || len(rows["sessions"]) < 1 {
		a.Errorf("the database has %d jobs, %d licences, %d stored answers", len(rows["jobs"]), len(rows["licenses"]), len(rows["idempotency_keys"]))
	}
	everything := maps.Clone(a.sealed)
	maps.Copy(everything, a.personal)
	for _, found := range spots(places, everything) {
		a.Error(found)
	}
	for _, found := range spots(atRest, a.sealed) {
		a.Error(found)
	}

	// The search can fail: each canary is found in each place, once it is there.
	for value, what := range everything {
		for _, form := range []string{value, strings.ToUpper(value), url.QueryEscape(value), base64.StdEncoding.EncodeToString([]byte(value))} {
			if planted := map[string]string{"a planted line": "level=DEBUG msg=" + form + "\n"}; len(spots(planted, everything)) == 0 {
				a.Errorf("%s is not found as %q", what, form)
			}
		}
	}
}

// spots tells of every place that has one of the canaries, in one of the forms that values take on their way.
func spots(places, canaries map[string]string) (found []string) {
	for place, text := range places {
		text = strings.ToLower(text)
		for value, what := range canaries {
			for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value), base64.StdEncoding.EncodeToString([]byte(value))} {
				if i := strings.Index(text, strings.ToLower(form)); i >= 0 {
					found = append(found, fmt.Sprintf("%s has %s: …%q…", place, what, text[max(0, i-150):min(len(text), i+150)]))
					break
				}
			}
		}
	}
	return found
}

func (a *aviary) openStore(embedded bool) *models.Store {
	a.Helper()
	secret, err := base64.StdEncoding.DecodeString(a.site.setting("PURSER_SECRET_KEY"))
	if err != nil {
		a.Fatal(err)
	}
	keys, err := models.NewKeyring(secret)
	if err != nil {
		a.Fatal(err)
	}
	o := models.Options{DatabaseURL: a.site.setting("PURSER_DATABASE_URL"), PublicURL: "http://purser.test", Keys: keys}
	if embedded {
		o.SQLitePath = filepath.Join(a.site.setting("PURSER_DATA_DIR"), databaseFile)
	}
	s, err := models.Open(context.Background(), o)
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() {
		if err := s.Close(); err != nil {
			a.Error(err)
		}
	})
	return s
}
