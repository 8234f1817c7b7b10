package payment_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/payment/paymenttest"
)

func TestTestGateway(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte("callback secret "), 2)
	paymenttest.Run(t, func(t *testing.T) paymenttest.Harness {
		clock := paymenttest.NewClock(paymenttest.Start)
		open := func() *payment.Test {
			gateway, err := payment.NewTest(payment.TestConfig{PageURL: "https://pay.example/test", CallbackSecret: secret, Now: clock.Now})
			if err != nil {
				t.Fatal(err)
			}
			return gateway
		}
		return paymenttest.Harness{
			Open:  func() payment.Gateway { return open() },
			Clock: clock,
			Charge: payment.ChargeRequest{
				OrderNumber: "A0000000123", Amount: 9800, Currency: "EUR", ReturnURL: "https://shop.example/thanks",
				Card: &payment.Card{Number: "4000000000000077", ExpMonth: 12, ExpYear: 2030, CVC: "737"},
			},
			Pay: func(string) { clock.Advance(2 * time.Second) },
			Callback: func(reference string) (http.Header, []byte) {
				outcome, err := open().Status(t.Context(), reference)
				if err != nil {
					t.Fatal(err)
				}
				header, body, err := open().Callback(outcome)
				if err != nil {
					t.Fatal(err)
				}
				return header, body
			},
			Secrets: []string{string(secret), "4000000000000077"},
		}
	})
}

func TestBankTransferGateway(t *testing.T) {
	t.Parallel()
	paymenttest.Run(t, func(t *testing.T) paymenttest.Harness {
		return paymenttest.Harness{
			Open: func() payment.Gateway {
				gateway, err := payment.NewBankTransferGateway(payment.BankTransferConfig{
					AccountHolder: "Example Software GmbH", IBAN: "DE89 3704 0044 0532 0130 00", BIC: "COBADEFFXXX", BankName: "Commerzbank",
				})
				if err != nil {
					t.Fatal(err)
				}
				return gateway
			},
			Clock:  paymenttest.NewClock(paymenttest.Start),
			Charge: payment.ChargeRequest{OrderNumber: "A0000000123", Amount: 9800, Currency: "EUR", ReturnURL: "https://shop.example/thanks"},
		}
	})
}
