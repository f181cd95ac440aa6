#ifndef STROBE_TESTS_MATRIX_CODE_H
#define STROBE_TESTS_MATRIX_CODE_H

#include "driver/CompileCuda.h"

#include <string>

namespace strobe::test {

/** How often a regular expression is found. */
int count(const std::string &text, const std::string &pattern);

/** The kernels of every plan contract `type` ("bf16", "f16") on the matrix unit: in their PTX, and, after ptxas took them
 * without spills and without serialising those instructions, in their machine code. Skips what there is no ptxas or
 * nvdisasm for, visibly. */
void expect_matrix_code(const CudaCompilation &c, const std::string &type);

}  // namespace strobe::test

#endif
