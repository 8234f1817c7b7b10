package api

import (
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
)

// staffRoom is what only the pages behind a sign-in need.
type staffRoom struct {
	origins  *http.CrossOriginProtection
	doors    doors
	screens  *queueScreens // nil without Redis
	receiver *receiver
}

// doors count the tries to sign in, by email and by address.
type doors struct{ emails, addresses *attempts }

func newStaffRoom(public string, queue redis.UniversalClient) (staffRoom, error) {
	origins, err := newOrigins(public)
	r := staffRoom{
		origins: origins, receiver: &receiver{},
		doors: doors{
			emails:    newAttempts(emailTries, emailPause, time.Now),
			addresses: newAttempts(addressTries, addressPause, time.Now),
		},
	}
	if queue != nil {
		r.screens = newQueueScreens(queue)
	}
	return r, err
}
