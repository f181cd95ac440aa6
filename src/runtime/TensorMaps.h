#ifndef STROBE_RUNTIME_TENSOR_MAPS_H
#define STROBE_RUNTIME_TENSOR_MAPS_H

/** \file
 * Tensor maps (CUtensorMap): the descriptions of tensors that the bulk-copy unit
 * of sm_90 and later reads. They are encoded on the host, depend on the address,
 * and cost about a microsecond each, so every thread keeps those it used last. */

#include <string>

#include "runtime/Arguments.h"
#include "runtime/CudaDriver.h"

namespace strobe {

/** Why the bulk-copy unit cannot read this tensor, with what would be legal; empty if it can. */
std::string tensor_map_problem(const TensorMapSpec &spec, const BufferSpec &buffer, const TensorArgument &tensor);

/** The map of a tensor that has no problem. `empty_page` is valid device memory of
 * at least 256 bytes: the map of an empty tensor describes one element of it, since
 * the driver refuses maps without elements. Throws RuntimeFailure if the driver refuses. */
void encode_tensor_map(const TensorMapSpec &spec, const BufferSpec &buffer, const TensorArgument &tensor,
                       uint64_t empty_page, cuda::TensorMap *map);

}  // namespace strobe

#endif
