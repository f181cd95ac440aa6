#ifndef STROBE_RUNTIME_KERNEL_PACKAGE_H
#define STROBE_RUNTIME_KERNEL_PACKAGE_H

/** \file
 * A compiled algorithm for one GPU architecture: machine code (or PTX) and the
 * recipe to launch it on any batch, length and strides. Plain data: written by
 * the compiler (lower/cuda), embedded in libraries, stored in caches, read by the
 * runtime, which needs nothing else. The byte format is little-endian and
 * length-checked: parse_package refuses anything that is not exactly a package.
 */

#include <cstdint>
#include <string>
#include <vector>

namespace strobe {

/** Element types, with the codes of halide_type_t. */
struct ElementType {
    uint8_t code = 0;  // halide_type_code_t: 0 int, 1 uint, 2 float, 4 bfloat
    uint8_t bits = 32;
    int bytes() const {
        return (bits + 7) / 8;
    }
};

/** A tensor the caller passes. Dimension 0 is the innermost of the algorithm (feature). */
struct BufferSpec {
    std::string name;
    ElementType type;
    uint8_t rank = 0;
    bool output = false;
};

struct ScalarSpec {
    std::string name;
    ElementType type;
    bool has_min = false, has_max = false;  // declared range, checked before launch
    double min = 0, max = 0;
};

/** ceil((extent of a buffer's dimension) / divisor), or a constant. */
struct CountTerm {
    int32_t buffer = -1, dim = 0;  // buffer -1: the constant `divisor`
    int32_t divisor = 1;
};
/** A product of terms; empty is 1. */
using Count = std::vector<CountTerm>;

/** How to encode a CUtensorMap over a buffer. */
struct TensorMapSpec {
    int32_t buffer = 0;
    std::vector<uint32_t> box;  // elements per buffer dimension; rank = the buffer's rank
    uint32_t swizzle_bytes = 128;
};

/** Scratch memory in device memory, sized per launch. `zeroed`: all zero before the
 * first use of the slot; the kernels leave it zero when they end. */
struct WorkspaceSpec {
    Count elements;
    uint32_t element_bytes = 4;
    bool zeroed = false;
};

struct ParamSpec {
    enum class Kind : uint8_t {
        Pointer,    // device address of buffer `index` (element 0)
        Extent,     // int32: buffer `index`, dimension `dim`
        Stride,     // int64, in elements: buffer `index`, dimension `dim`
        Min,        // int32: first coordinate of a dimension
        Scalar,     // scalar `index`
        TensorMap,  // 128 bytes by value: tensor map `index`
        Workspace,  // device address of workspace `index`
        GridSize
    };  // int32: blocks launched
    Kind kind = Kind::Pointer;
    int32_t index = 0, dim = 0;
};

struct KernelSpec {
    std::string entry;
    int32_t threads = 0;
    int32_t shared_bytes = 0;  // dynamic
    std::vector<ParamSpec> params;
    Count work;               // units of work
    bool persistent = false;  // blocks = min(work, multiprocessors * blocks_per_sm); else one a unit
    int32_t blocks_per_sm = 1;
    bool overlaps = false;    // may start while the kernel before it runs; it waits by itself for what it needs of it
};

/** One way to run the algorithm: its kernels in order. */
struct LaunchPlan {
    std::string schedule;  // text, for explain
    std::vector<KernelSpec> kernels;
    std::vector<TensorMapSpec> tensor_maps;
    std::vector<WorkspaceSpec> workspaces;
    int32_t query_tile = 0;    // rows a unit of the last kernel computes, for choosing among plans
    // For choosing among plans: the relative time of one unit of the kernel that takes the most (-1: the last one), which
    // grows with the steps it makes (tiles of keys, say).
    double cost_per_unit = 1, cost_per_step = 0;
    Count steps;
    int32_t counted_kernel = -1;
};

/** A pair of dimensions that must have equal extents, and the text to say so. */
struct EqualExtents {
    int32_t buffer_a = 0, dim_a = 0, buffer_b = 0, dim_b = 0;
};

/** A dimension whose extent is a constant of the kernels, such as a head dimension. */
struct FixedExtent {
    int32_t buffer = 0, dim = 0, extent = 0;
    bool at_least = false;  // more is no error: they are not read
};

struct KernelPackage {
    std::string name;          // of the algorithm
    std::string architecture;  // "sm_90a"
    bool is_ptx = false;       // code is PTX text, to be assembled by the driver
    std::string code;          // cubin bytes or PTX
    std::vector<BufferSpec> buffers;
    std::vector<ScalarSpec> scalars;
    std::vector<EqualExtents> equal_extents;
    std::vector<FixedExtent> fixed_extents;
    std::vector<LaunchPlan> plans;  // at least one; the runtime picks per launch
};

std::vector<uint8_t> serialize_package(const KernelPackage &package);
/** Throws RuntimeFailure naming what is wrong. What it returns is valid. */
KernelPackage parse_package(const uint8_t *data, size_t size);

/** Throws RuntimeFailure unless every index points at something, every count is
 * within the bounds that the launcher relies on, and every type exists. */
void validate_package(const KernelPackage &package);

/** The checksum stored in a serialized package, read without parsing the rest: a
 * cheap name for its content. 0 if the bytes are too few to be a package. */
uint64_t stored_checksum(const uint8_t *data, size_t size);

/** Bounds that validate_package holds a package to. */
constexpr int max_rank = 8, max_buffers = 64, max_scalars = 64, max_tensor_maps = 16, max_workspaces = 16;
constexpr int max_kernels = 16;
constexpr int max_params = 128, max_param_bytes = 4096;

}  // namespace strobe

#endif
