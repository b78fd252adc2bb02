// Reads a JSON array of Kubernetes objects, and prints a JSON array of what kstatus says of each.
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	var objects []unstructured.Unstructured
	if err := json.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		log.Fatal(err)
	}
	told := make([]*status.Result, len(objects))
	for index := range objects {
		result, err := status.Compute(&objects[index])
		if err != nil {
			log.Fatal(err)
		}
		told[index] = result
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		log.Fatal(err)
	}
}
