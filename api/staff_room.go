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

// doors count the tries to sign in: by address, and by email or, where the browser is known, by device.
type doors struct{ emails, devices, addresses *attempts }

func newDoors(now func() time.Time) doors {
	return doors{
		emails: newAttempts(emailTries, emailPause, now), devices: newAttempts(emailTries, emailPause, now),
		addresses: newAttempts(addressTries, addressPause, now),
	}
}

func newStaffRoom(public string, queue redis.UniversalClient) (staffRoom, error) {
	origins, err := newOrigins(public)
	r := staffRoom{
		origins: origins, receiver: &receiver{},
		doors: newDoors(time.Now),
	}
	if queue != nil {
		r.screens = newQueueScreens(queue)
	}
	return r, err
}
