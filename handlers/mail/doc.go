// Package mail renders the emails that an order causes and hands them to an SMTP server.
//
// The two halves are independent. [Render] turns a [Kind], a language and [Data] into a subject, a plain text and an
// HTML part; it does no I/O. A [Sender] delivers a [Message]; [SMTP] is the one that talks to a real server.
//
// Delivery is at least once: a message whose acceptance was never confirmed is sent again by the caller, and
// [MessageID] gives every try the same Message-ID, so that receivers can drop the copy. No error of this package
// carries a recipient, a credential or anything else of the message, because errors end up in logs and job rows.
package mail
