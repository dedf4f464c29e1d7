#include "config.h"

#include "guest-agent/participant/protocol.h"

#include <string.h>

bool
cs_line_buffer_next (CsLineBuffer *buffer, const char **line, size_t *length)
{
  char *begin = buffer->data + buffer->taken;
  size_t left = buffer->length - buffer->taken;
  char *end = left > 0 ? memchr (begin, '\n', left) : NULL;
  if (end == NULL)
    return false;
  *line = begin;
  *length = (size_t)(end - begin);
  buffer->taken += *length + 1;
  return true;
}

char *
cs_line_buffer_space (CsLineBuffer *buffer, size_t *room)
{
  size_t left = buffer->length - buffer->taken;
  if (buffer->taken > 0 && left > 0)
    memmove (buffer->data, buffer->data + buffer->taken, left);
  buffer->length = left;
  buffer->taken = 0;
  *room = buffer->size - left;
  return buffer->data + left;
}

void
cs_line_buffer_add (CsLineBuffer *buffer, size_t length)
{
  buffer->length += length;
}
