// go run subscribe.go TOPIC [AFTER]: every event as a line of JSON.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

var (
	errRefused = errors.New("refused")
	cursor     string
	wait       = 3 * time.Second
)

func listen(topic string, handle func(name, data string)) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Heartbeats come every 15 seconds: without any it is dead.
	watchdog := time.AfterFunc(45*time.Second, cancel)
	defer watchdog.Stop()

	query := url.Values{"topic": {topic}, "format": {"envelope"}}
	request, err := http.NewRequestWithContext(ctx, "GET",
		os.Getenv("FANFARE_URL")+"/events?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	if key := os.Getenv("FANFARE_API_KEY"); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	if cursor != "" {
		request.Header.Set("Last-Event-ID", cursor)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if code := response.StatusCode; code != 200 {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		if code < 500 && code != 429 {
			return fmt.Errorf("%w: %d %s", errRefused, code, body)
		}
		return fmt.Errorf("%d %s", code, body)
	}

	id, name, data := cursor, "", ""
	for lines := bufio.NewReader(response.Body); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		watchdog.Reset(45 * time.Second)
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case field == "data":
			data = value // envelopes are one line
		case field == "event":
			name = value
		case field == "id":
			id = value
		case field == "retry":
			if ms, err := strconv.Atoi(value); err == nil {
				wait = time.Duration(ms) * time.Millisecond
			}
		case line == "":
			if data != "" {
				handle(name, data)
				cursor = id // that one is dealt with
			}
			name, data = "", ""
		}
	}
}

func main() {
	if len(os.Args) > 2 {
		cursor = os.Args[2]
	}
	for {
		err := listen(os.Args[1], func(name, data string) {
			switch name {
			case "": // yours: an envelope of JSON
				fmt.Println(data)
			case "fanfare.gap", "fanfare.close":
				log.Print(name, " ", data)
			}
		})
		log.Print(err)
		if errors.Is(err, errRefused) {
			os.Exit(1) // it would be refused again
		}
		time.Sleep(wait)
	}
}
