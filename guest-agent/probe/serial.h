/* Lines on the serial port.  Every line ends with " #" and eight hex digits, the CRC-32 (IEEE) of
 * all before the blank, so that a torn or mixed line is recognised. */
#ifndef CS_PROBE_SERIAL_H
#define CS_PROBE_SERIAL_H

#include <stddef.h>
#include <stdint.h>

uint32_t serial_crc32 (const void *data, size_t length);
/* Writes one line with its checksum to stdout; may block when nobody takes it. */
void serial_print (const char *line);
/* A line from stdin without its end, waiting up to @ms; NULL when there is none yet.  After the
 * end of the input it only waits. */
const char *serial_read (unsigned ms);
/* No echo; lines are lines. */
void serial_prepare (void);

#endif
