#ifndef STROBE_LOWER_CUDA_PARAMETERS_H
#define STROBE_LOWER_CUDA_PARAMETERS_H

/** \file
 * The arguments of a package and of its kernels: buffers and scalars as the
 * algorithm names them, and for each kernel the list of what it is passed. */

#include "runtime/KernelPackage.h"
#include "tile/TileProgram.h"

#include <map>
#include <optional>

namespace strobe::cuda {

/** The buffers and scalars of the program, in the order in which the caller passes
 * them: inputs as they first appear, then outputs. */
class PackageArguments {
public:
    PackageArguments(const TileProgram &program, KernelPackage &package);

    /** Index of an input or output buffer; throws InternalError if unknown. */
    int buffer(const std::string &name) const;
    int scalar(const std::string &name) const;
    bool is_buffer(const std::string &name) const {
        return buffers.count(name) != 0;
    }
    bool has_extent_of(const Axis &axis) const;
    /** The extent of an axis as (buffer, dimension), for counting work on the host. */
    CountTerm extent_of(const Axis &axis, int divisor) const;

private:
    const TileProgram &program;
    std::map<std::string, int> buffers, scalars;

    std::optional<CountTerm> find_extent(const Axis &axis, int divisor) const;
};

/** Dimensions of the package's buffers that are indexed by the same axis have equal
 * extents, which the runtime checks. */
void add_equal_extents(const TileProgram &program, const PackageArguments &arguments, KernelPackage &package);

/** Those that are constants of the algorithm: declared ones and outputs exactly, others as far as they are read. */
void add_fixed_extents(const TileProgram &program, const PackageArguments &arguments, KernelPackage &package);

/** What one kernel is passed. Each method returns the Variable that stands for the
 * argument in the kernel, adding it on first use. */
class KernelParameters {
    const PackageArguments &arguments;
    KernelSpec &kernel;
    std::map<std::string, Halide::Type> types;
    std::vector<Halide::Internal::DeviceArgument> list;

    Expr add(const std::string &name, Halide::Type type, const ParamSpec &spec, bool is_array = false);

public:
    KernelParameters(const PackageArguments &arguments, KernelSpec &kernel)
        : arguments(arguments), kernel(kernel) {
    }

    Expr pointer(const std::string &buffer);          // UInt(64)
    /** The name under which Loads and Stores reach a buffer, or a workspace, as an array. */
    std::string array(const std::string &buffer, Halide::Type type);
    std::string workspace_array(int index, Halide::Type type);
    Expr extent(const std::string &buffer, int dim);  // Int(32)
    Expr stride(const std::string &buffer, int dim);  // Int(64), elements
    Expr scalar(const std::string &name, Halide::Type type);
    Expr tensor_map(int index);  // UInt(64), generic address
    Expr workspace(int index);   // UInt(64)
    Expr grid_size();            // Int(32)

    /** Replaces the algorithm's own Variables (scalars, "q.extent.1") by arguments. */
    Expr resolve(const Expr &e);

    const std::vector<Halide::Internal::DeviceArgument> &device_arguments() const {
        return list;
    }
    std::vector<int> tensor_map_positions() const;
};

}  // namespace strobe::cuda

#endif
