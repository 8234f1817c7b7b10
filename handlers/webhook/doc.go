// Package webhook signs what is sent to merchants' servers and sends it without
// letting an address that a merchant chose reach the installation's own network.
//
// It speaks to one outside system, the merchant's server, for two callers: event
// deliveries and the licence web service call. It keeps no state besides idle
// connections, retries nothing by itself and logs nothing; the caller decides
// what a [Result] means, stores it, and knows when to try again.
//
// Signatures follow the Standard Webhooks specification
// (https://www.standardwebhooks.com, symmetric scheme v1); [NoventiqSignature]
// serves receivers that were written for the Noventiq Checkout platform.
//
// Everything here fails closed: a target that cannot be judged is not dialled,
// a secret that is too short does not sign.
package webhook
