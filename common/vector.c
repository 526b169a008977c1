#include "common/vector.h"

#include <stdint.h>

int ul_vector_grow(void **at, size_t n, size_t *size, size_t more, size_t element)
{
	size_t wanted, doubled = *size ? 2 * *size : 8;
	void *grown;

	if (more <= *size - n)
		return 0;
	if (more > SIZE_MAX - n)
		return -ENOMEM;
	wanted = n + more;
	if (doubled > wanted)
		wanted = doubled;
	if (wanted > SIZE_MAX / element)
		return -ENOMEM;
	grown = realloc(*at, wanted * element);
	if (!grown)
		return -ENOMEM;
	*at = grown;
	*size = wanted;
	return 0;
}
