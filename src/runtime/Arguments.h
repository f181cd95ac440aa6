#ifndef STROBE_RUNTIME_ARGUMENTS_H
#define STROBE_RUNTIME_ARGUMENTS_H

/** \file
 * What a caller passes, and the check that a package's kernels may run on it. */

#include "runtime/KernelPackage.h"

namespace strobe {

/** A tensor in device memory. Dimension 0 is the innermost of the algorithm;
 * strides are in elements. */
struct TensorArgument {
    uint64_t address = 0;  // of the element at the first coordinates
    ElementType type;
    int32_t rank = 0;
    int64_t sizes[max_rank] = {}, strides[max_rank] = {};
    int32_t mins[max_rank] = {};

    bool empty() const;
};

/** Throws UserError naming the argument, what is wrong with it and what is legal,
 * unless the tensors, in the order of package.buffers, fit the package: their count, types, ranks,
 * extents, equal extents, addresses, offsets within 63 bits, and outputs that do
 * not share elements. What only some plans need (tensor maps) is checked where it is used. */
void check_tensors(const KernelPackage &package, const TensorArgument *tensors, int num_tensors);

/** The same for the scalars, in the order of package.scalars: their count, that their type
 * can hold them, and their declared range. */
void check_scalars(const KernelPackage &package, const double *scalars, int num_scalars);

/** The product of a count's terms on these tensors. Throws UserError if it leaves
 * 63 bits; `what` says of what. */
int64_t evaluate_count(const Count &count, const TensorArgument *tensors, const char *what);

/** Writes a scalar that check_scalars accepted in its own type; returns the bytes written. */
int write_scalar(const ElementType &type, double value, void *to);

/** "bf16", "fp16", "fp32", "int32", ... */
std::string name_of(const ElementType &type);

}  // namespace strobe

#endif
