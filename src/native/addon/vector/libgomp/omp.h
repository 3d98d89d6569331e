// What FAISS's HNSW.h needs of <omp.h>, as libgomp lays it out, for compilers that bring none (clang without libomp) or
// a different one (libomp's lock is larger than the one FAISS's archive was built with). Add this folder with -I for
// clang only.
#pragma once

typedef struct {
  unsigned char lock[4] __attribute__((aligned(4)));
} omp_lock_t;

#ifdef __cplusplus
extern "C" {
#endif
void omp_init_lock(omp_lock_t* lock);
void omp_destroy_lock(omp_lock_t* lock);
void omp_set_lock(omp_lock_t* lock);
void omp_unset_lock(omp_lock_t* lock);
#ifdef __cplusplus
}
#endif
