// go run publish.go TOPIC EVENT DATA [KEY]: publishes JSON once, however
// often it has to try.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

var client = &http.Client{Timeout: 5 * time.Second}

// One attempt: the answer, or an error and whether to try again.
func attempt(body []byte) (answer []byte, again bool, err error) {
	url := os.Getenv("FANFARE_URL") + "/publish"
	request, err := http.NewRequest("POST", url, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	request.Header.Set("Authorization",
		"Bearer "+os.Getenv("FANFARE_API_KEY"))
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, true, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil || response.StatusCode == 200 {
		return answer, true, err
	}
	var problem struct{ Code, Detail string }
	if json.Unmarshal(answer, &problem) != nil {
		problem.Detail = string(answer)
	}
	again = response.StatusCode >= 500 || response.StatusCode == 429
	return nil, again, fmt.Errorf("%d %s: %s", response.StatusCode,
		problem.Code, problem.Detail)
}

func publish(topic, event string, data any, key string) ([]byte, error) {
	body, err := json.Marshal(map[string]any{"topic": topic,
		"event": event, "data": data, "idempotency_key": key})
	if err != nil {
		return nil, err
	}
	for wait := time.Second; ; wait *= 2 {
		answer, again, err := attempt(body)
		if err == nil || !again || wait > 8*time.Second {
			return answer, err
		}
		time.Sleep(wait)
	}
}

func main() {
	random := make([]byte, 16)
	rand.Read(random)
	key := fmt.Sprintf("%x", random)
	if len(os.Args) > 4 {
		key = os.Args[4]
	}
	data := json.RawMessage(os.Args[3])
	answer, err := publish(os.Args[1], os.Args[2], data, key)
	if err != nil {
		log.Fatal("publish: ", err)
	}
	fmt.Println(string(answer))
}
