/* One TCP connection with its two buffers; non-blocking. */
#ifndef CS_PROBE_STREAM_H
#define CS_PROBE_STREAM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_BUFFER 16384

struct stream
{
  int fd; /* -1: none */
  bool connecting;
  uint64_t retry_ms; /* not before that */
  size_t in_length, out_length;
  char in[STREAM_BUFFER], out[STREAM_BUFFER];
};

void stream_init (struct stream *stream);
/* Takes @fd; on failure the stream stays closed. */
void stream_connect (struct stream *stream, int fd, const struct sockaddr_in *to);
/* When poll says that connecting ended: whether it succeeded. */
bool stream_connected (struct stream *stream);
void stream_accepted (struct stream *stream, int fd);
/* Returns whether a connection had been made. */
bool stream_close (struct stream *stream);
short stream_events (const struct stream *stream);

bool stream_has_room (const struct stream *stream, size_t length);
void stream_put (struct stream *stream, const void *data, size_t length);
/* Both return NULL or why the connection is broken. */
const char *stream_flush (struct stream *stream);
const char *stream_fill (struct stream *stream);
bool stream_take (struct stream *stream, void *data, size_t length);

#endif
