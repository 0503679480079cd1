// Go's net/http with its default transport, which asks before it sends (Expect: 100-continue) where told to.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

type answer struct {
	Score float64
	Error struct{ Code string }
}

func ask(body []byte) string {
	request, _ := http.NewRequest("POST", os.Getenv("URL")+"/invocations", bytes.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	request.Header.Set("Expect", "100-continue")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	var said answer
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
		return fmt.Sprint(response.StatusCode, " ", err)
	}
	if response.StatusCode == 200 {
		return fmt.Sprint(said.Score)
	}
	return fmt.Sprint(response.StatusCode, " ", said.Error.Code)
}

func main() {
	good := append([]byte("score=84.15 "), bytes.Repeat([]byte(" "), 500_000)...)
	answers := map[string]string{}
	answers["good"] = ask(good)
	answers["not a dive"] = ask([]byte("status=422 code=not_a_dive"))
	answers["too large"] = ask(bytes.Repeat([]byte("x"), 3_000_000))
	answers["good again"] = ask(good)
	json.NewEncoder(os.Stdout).Encode(answers)
}
