package handlers_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// Personal data, licence keys and secrets are planted everywhere, every outside system misbehaves in turn and quotes what it was sent,
// and then whatever was ever written to Redis and to the log is searched for them.
func TestNothingConfidentialReachesRedisOrTheLog(t *testing.T) {
	each(t, func(b *bench) {
		// All that this process says to Redis goes through a tap.
		sent := &logBuffer{}
		tapped, _ := b.throughLink(sent)
		client := tapped.Client()
		defer client.Close()
		publisher := jobs.NewPublisher(client, b.logger())
		defer publisher.Close()
		store, secrets := b.store, []string{"postgres://"}
		var database *link
		if !store.Embedded() {
			store, database = behindLink(b, store)
			address, err := url.Parse(storetest.Options(b.store).DatabaseURL)
			if err != nil {
				b.Fatal(err)
			}
			password, _ := address.User.Password()
			secrets = append(secrets, password)
		}
		store.OnCommit(publisher.Publish)

		b.product("pool", models.MethodPool, `{}`)
		b.product("signed", models.MethodSigned, `{"licensed_to":true}`)
		b.product("broken", models.MethodTemplate, `{}`)
		storetest.Exec(b, b.store, `UPDATE products SET license = $1 WHERE sku = 'broken'`, `{"pattern":"CANARY-PATTERN"}`)
		poolKeys := []string{"CANARY-POOL-KEY-0001", "CANARY-POOL-KEY-0002"}
		b.upload("pool", poolKeys...)
		hooks := b.receive([]string{"*"}, func(in *models.WebhookEndpointInput) { in.IncludeLicenseKeys = true })
		echo := func(w http.ResponseWriter, q *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprintf(w, "%s %v\n%s", q.URL, q.Header, hooks.got()[len(hooks.got())-1].body)
		}
		hooks.answers(echo)
		smtp := newRudeSMTP(b)
		sender, err := mail.NewSMTP(smtp.url(), 5*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		defer sender.Close()

		in := storetest.OrderInput("pool", 2)
		in.Lines = append(in.Lines, models.NewLine{Product: "signed", Quantity: 1}, models.NewLine{Product: "broken", Quantity: 1})
		in.ExternalID, in.ReturnURL = "canary-external-id", "https://shop.example/thanks?canary-return"
		in.Metadata = map[string]string{"note": "canary-metadata"}
		in.Customer = models.Customer{
			Email: "Canary.Customer@birds.example", FirstName: "Canaria", LastName: "Finchley", Type: "business", Country: "GB", Company: "Canary Holdings",
			VATNumber: "GB999999973", City: "Las Palmas", Zip: "35001", Address: "1 Canary Wharf", Phone: "+44 20 7946 0000",
		}
		o, err := store.CreateOrder(b.Context(), b.shop.Test, in)
		if err != nil {
			b.Fatal(err)
		}
		smtp.refuse("451")
		b.work(func(c *handlers.Config) { c.Store, c.Redis, c.Mail = store, tapped, sender })
		storetest.Pay(b, store, b.shop.Test, o.ID)

		// Refused for now, then for good; the webhooks fail all the time.
		b.eventually("every licence email and webhook was tried", func() bool {
			return storetest.Count(b, b.store, `SELECT COUNT(*) FROM jobs WHERE kind = $1 AND attempts > 0`, jobs.KindSendEmail) >= 4 &&
				storetest.Count(b, b.store, `SELECT COUNT(*) FROM delivery_attempts`) >= 3
		})
		smtp.refuse("550")
		b.eventually("every email is refused for good", func() bool {
			dead := 0
			for _, j := range storetest.Jobs(b, b.store, jobs.KindSendEmail) {
				switch info := b.task(j); {
				case j.State == models.JobDead:
					dead++
				case info != nil && info.State == asynq.TaskStateRetry:
					_ = b.inspector.RunTask(info.Queue, info.ID) // it may begin by itself meanwhile
				}
			}
			return dead == 6 // the confirmation, the licences of two items, and a notice of the failure of each item
		})
		if smtp.messages() != 0 {
			b.Errorf("%d emails were taken", smtp.messages())
		}

		c := in.Customer
		secrets = append(secrets, c.Email, c.FirstName, c.LastName, c.Company, c.VATNumber, c.City, c.Zip, c.Address, c.Phone)
		secrets = append(secrets, b.shop.TestKey, b.shop.LiveKey, b.shop.Email, hooks.secret, strings.TrimPrefix(hooks.secret, "whsec_"), "query-secret", "CANARY-PATTERN",
			in.ExternalID, in.ReturnURL, "canary-metadata", o.OrderURL[strings.LastIndex(o.OrderURL, "/")+1:])
		secrets = append(secrets, poolKeys...)
		got := b.order(o.ID)
		for _, i := range got.Items {
			for _, l := range i.Licenses {
				secrets = append(secrets, l.Key)
			}
		}
		if database != nil {
			database.cut()
			for _, j := range storetest.Jobs(b, b.store, jobs.KindDeliver) {
				if j.State == models.JobDue {
					b.taskIn(j, asynq.TaskStateRetry)
					b.run(j)
				}
			}
			b.eventually("the log tells of the database", func() bool { return b.log.has("the database does not answer") })
		}
		b.search(sent, secrets)
		if database != nil {
			database.mend()
		}

		// The rows that operators see. What a task carries are the same arguments: ids and nothing else.
		for _, j := range storetest.Jobs(b, b.store, "") {
			args, err := json.Marshal(j.Args)
			if err != nil || !onlyIDs.Match(args) {
				b.Errorf("the arguments of a %s are %s", j.Kind, args)
			}
			text := string(args)
			if j.LastError != nil {
				text += *j.LastError
			}
			for _, s := range secrets {
				if strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
					b.Errorf("the row of a %s holds %q: %s", j.Kind, s, text)
				}
			}
		}
	})
}

// onlyIDs is an object of ids, and whether they are of test mode.
var onlyIDs = regexp.MustCompile(`^\{("[a-z]+":("[a-z]{3}_[0-9a-z]{26}"|true),?)*\}$`)

// search looks for secrets in what was said to Redis, in what Redis holds, and in the log.
func (b *bench) search(sent *logBuffer, secrets []string) {
	b.Helper()
	places := map[string]string{"what was written to Redis": sent.String(), "the log": b.log.String(), "what Redis holds": b.redis.Dump(b)}
	if len(places["what was written to Redis"]) < 10_000 || len(places["the log"]) < 1000 || !strings.Contains(places["what Redis holds"], "asynq:{email}:archived") {
		b.Errorf("there is too little to search: %d bytes written, %d logged, %d kept", sent.b.Len(), len(places["the log"]), len(places["what Redis holds"]))
	}
	for place, text := range places {
		text = strings.ToLower(text)
		for _, s := range secrets {
			if len(s) < 4 {
				b.Errorf("%q is too short to be looked for", s)
			}
			for _, form := range []string{s, url.QueryEscape(s), base64.StdEncoding.EncodeToString([]byte(s))} {
				if i := strings.Index(text, strings.ToLower(form)); i >= 0 {
					b.Errorf("%s holds %q: …%s…", place, form, text[max(i-100, 0):min(i+100, len(text))])
				}
			}
		}
	}
}
