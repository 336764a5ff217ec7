// Package codec gives franz-go's codecs by the names that Kafka's settings have for them.
package codec

import "github.com/twmb/franz-go/pkg/kgo"

// Of holds a codec by its name.
var Of = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}
