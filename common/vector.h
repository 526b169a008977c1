/*
 * A growable array of any type:
 *
 *     UL_VECTOR(struct slot) slots = {0};          struct { struct slot *at; size_t n, size; }
 *     r = ul_vector_push(&slots, slot);            0 or -ENOMEM; a value of another type does not compile
 *     for (size_t i = 0; i < slots.n; i++) use(&slots.at[i]);
 *     ul_vector_free(&slots);                      what the elements own is the caller's to free first
 *
 * A vector that a function hands out gets a name: `struct ul_slot_list { UL_VECTOR_MEMBERS(struct ul_slot); }`.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* n elements of `size` that there is room for; zero-initialise. */
#define UL_VECTOR_MEMBERS(type) \
	type *at;               \
	size_t n, size

#define UL_VECTOR(type)                  \
	struct {                         \
		UL_VECTOR_MEMBERS(type); \
	}

/* Room for `more` further elements. 0 or -ENOMEM; the vector is then as it was. */
int ul_vector_grow(void **at, size_t n, size_t *size, size_t more, size_t element);

#define ul_vector_reserve(v, more)                                            \
	ul_vector_grow((void **)(void *)&(v)->at, (v)->n, &(v)->size, (more), \
		       sizeof(*(v)->at)) /* NOLINT(bugprone-sizeof-expression): elements may be pointers */

/* Append a value. 0 or -ENOMEM. */
#define ul_vector_push(v, ...)                                           \
	__extension__({                                                  \
		__typeof__(v) ul_vector_ = (v);                          \
		int ul_pushed_ = ul_vector_reserve(ul_vector_, 1);       \
                                                                         \
		if (ul_pushed_ == 0)                                     \
			ul_vector_->at[ul_vector_->n++] = (__VA_ARGS__); \
		ul_pushed_;                                              \
	})

/* Take element i out; those behind it keep their order. */
#define ul_vector_remove(v, i)                                                      \
	do {                                                                        \
		__typeof__(v) ul_vector_ = (v);                                     \
		size_t ul_index_ = (i);                                             \
                                                                                    \
		ul_vector_->n--;                                                    \
		memmove(&ul_vector_->at[ul_index_], &ul_vector_->at[ul_index_ + 1], \
			(ul_vector_->n - ul_index_) * sizeof(*ul_vector_->at));     \
	} while (0)

/* compare: qsort's, over pointers to elements. */
#define ul_vector_sort(v, compare)                                           \
	do {                                                                 \
		if ((v)->n > 1)                                              \
			qsort((v)->at, (v)->n, sizeof(*(v)->at), (compare)); \
	} while (0)

#define ul_vector_free(v)               \
	do {                            \
		free((v)->at);          \
		(v)->at = NULL;         \
		(v)->n = (v)->size = 0; \
	} while (0)
