// The yardstick of small pulls: what a plain Go program takes for the same requests as the wire engine's.
//
// Usage: go_client URL REPOSITORY DIGEST PULLS WORKERS
//
// Each pull asks for the manifest by its digest, then for the config and the layers one after the other, hashes every
// byte and compares; net/http with its defaults keeps one connection a worker. It prints the seconds of all pulls
// together, its start not among them.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const accept = "application/vnd.oci.image.manifest.v1+json"

type manifest struct {
	Config descriptor   `json:"config"`
	Layers []descriptor `json:"layers"`
}

type descriptor struct {
	Digest string `json:"digest"`
}

func main() {
	url, digest := os.Args[1]+"/v2/"+os.Args[2], os.Args[3]
	pulls, workers := number(os.Args[4]), number(os.Args[5])
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	todo := make(chan struct{}, pulls)
	for i := 0; i < pulls; i++ {
		todo <- struct{}{}
	}
	close(todo)
	var all sync.WaitGroup
	began := time.Now()
	for i := 0; i < workers; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for range todo {
				pull(client, url, digest)
			}
		}()
	}
	all.Wait()
	fmt.Printf("%.6f\n", time.Since(began).Seconds())
}

func pull(client *http.Client, url string, digest string) {
	var found manifest
	content := get(client, url+"/manifests/"+digest, digest, true)
	if err := json.Unmarshal(content, &found); err != nil {
		fail(err)
	}
	for _, blob := range append([]descriptor{found.Config}, found.Layers...) {
		get(client, url+"/blobs/"+blob.Digest, blob.Digest, false)
	}
}

// get verifies what it receives, and gives it back where it is kept.
func get(client *http.Client, url string, digest string, keep bool) []byte {
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		fail(err)
	}
	request.Header.Set("Accept", accept)
	answer, err := client.Do(request)
	if err != nil {
		fail(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		fail(fmt.Errorf("%s: %s", url, answer.Status))
	}
	var content []byte
	sum := sha256.New()
	if keep {
		content, err = io.ReadAll(answer.Body)
		sum.Write(content)
	} else {
		_, err = io.Copy(sum, answer.Body)
	}
	if err != nil {
		fail(err)
	}
	if found := hexadecimal(sum); "sha256:"+found != digest {
		fail(fmt.Errorf("%s: digest %s", url, found))
	}
	return content
}

func hexadecimal(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)) }

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		fail(err)
	}
	return value
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "go_client:", err)
	os.Exit(1)
}
