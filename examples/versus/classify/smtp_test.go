package classify_test

import (
	"bufio"
	"net"
	"net/smtp"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/resilience"
)

// mail sends one letter to a server that answers the named command with the reply,
// and all others well.
func mail(command, reply string) func(*testing.T) error {
	return func(t *testing.T) error {
		addr := listen(t, func(c net.Conn) {
			say := func(s string) { _, _ = c.Write([]byte(s + "\r\n")) }
			if command == "" {
				say(reply)
				return
			}
			say("220 a.test ready")
			for in := bufio.NewScanner(c); in.Scan(); {
				switch word, _, _ := strings.Cut(in.Text(), " "); {
				case word == command:
					say(reply)
				case word == "EHLO":
					say("250-a.test\r\n250 AUTH PLAIN")
				case word == "DATA":
					say("354 go on")
				case word == "." || word == "MAIL" || word == "RCPT":
					say("250 well")
				case word == "*" || word == "QUIT":
					say("221 bye")
				}
			}
		})
		auth := smtp.PlainAuth("", "me", "secret", "127.0.0.1")
		if command != "AUTH" {
			auth = nil
		}
		return smtp.SendMail(addr, auth, "a@a.test", []string{"b@b.test"}, []byte("Subject: x\r\n\r\nx\r\n"))
	}
}

// smtpRows follows RFC 5321, 4.2: of a 4yz reply the sender should repeat the
// command, of a 5yz one not. net/textproto's error holds the code and nothing else.
func smtpRows(*testing.T) []row {
	return []row{
		{"SMTP 421 greeting", "RFC 5321, 4.2.3: service not available; what was sent before the code does not say", "421", is(resilience.ClassUnavailable, "", retry|counts|anyNotSent), mail("", "421 a.test closing")},
		{"SMTP 451", "RFC 5321, 4.2.3: local error in processing", "451", is(resilience.ClassInternal, "", retry|counts), mail("RCPT", "451 error")},
		{"SMTP 452", "RFC 5321, 4.2.3: insufficient system storage", "452", is(resilience.ClassOverloaded, "", retry|counts), mail("MAIL", "452 no space")},
		{"SMTP 501", "RFC 5321, 4.2.3: syntax error in parameters", "501", is(resilience.ClassInvalid, "", none), mail("MAIL", "501 what")},
		{"SMTP 535", "RFC 4954, 6: credentials invalid", "535", is(resilience.ClassUnauthorized, "", none), mail("AUTH", "535 no")},
		{"SMTP 554", "RFC 5321, 4.2.3: transaction failed", "554", is(resilience.ClassPermanent, "", none), mail(".", "554 no")},
		{"SMTP reply malformed", "RFC 5321, 4.2; go doc textproto.ProtocolError", "short response", is(resilience.ClassInternal, "", retry|counts), mail("MAIL", "?")},
		{"SMTP address malformed", "net/smtp: CR or LF in an address; RFC 5321, 4.1.2", "CR or LF", is(resilience.ClassInvalid, "", notSent), func(t *testing.T) error {
			return smtp.SendMail(refused(t), nil, "a\r\n@a.test", []string{"b@b.test"}, nil)
		}},
	}
}
