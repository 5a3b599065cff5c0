/* A matrix of floats, row-major, passed and returned by value. */
#ifndef MATRIX_H
#define MATRIX_H
#include <stdio.h>

typedef struct matrix {
    int rows, cols;
    float *data;
    int shallow; /* free_matrix leaves the data of a shallow matrix alone */
} matrix;

matrix make_matrix(int rows, int cols); /* filled with zeros */
matrix random_matrix(int rows, int cols, float s);
matrix copy_matrix(matrix m);
matrix transpose_matrix(matrix m);
matrix matmul(matrix a, matrix b);
void free_matrix(matrix m);
void scal_matrix(float s, matrix m);              /* m = s m */
void axpy_matrix(float a, matrix x, matrix y);    /* y = a x + y */
void print_matrix(matrix m);

#endif
