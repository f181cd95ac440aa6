#include "Arguments.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "support/Error.h"

namespace strobe {

namespace {

template<typename Spec>
void check_count(const KernelPackage &package, const std::vector<Spec> &specs, int count, const char *of_what) {
    if (count == int(specs.size())) {
        return;
    }
    std::string names;
    for (const Spec &spec : specs) {
        names += (names.empty() ? " (" : ", ") + spec.name;
    }
    strobe_user_error() << "In " << package.name << ": got " << count << " " << of_what << ", expected " << specs.size()
                        << names << (names.empty() ? "" : ")") << ".";
}

void check_type_and_rank(const KernelPackage &package, const BufferSpec &spec, const TensorArgument &tensor) {
    if (tensor.type.code != spec.type.code || tensor.type.bits != spec.type.bits) {
        strobe_user_error() << "In " << package.name << ": " << spec.name << " must have elements of type "
                            << name_of(spec.type) << ", got " << name_of(tensor.type) << ".";
    }
    if (tensor.rank != spec.rank) {
        strobe_user_error() << "In " << package.name << ": " << spec.name << " must have " << int(spec.rank)
                            << " dimensions, got " << tensor.rank << ".";
    }
}

void check_extents(const KernelPackage &package, const BufferSpec &spec, const TensorArgument &tensor) {
    __int128 reach = 0;  // of the element furthest from the first, in bytes
    for (int d = 0; d < tensor.rank; d++) {
        const int64_t size = tensor.sizes[d], stride = tensor.strides[d];
        if (size < 0 || size > std::numeric_limits<int32_t>::max()) {
            strobe_user_error() << "In " << package.name << ": dimension " << d << " of " << spec.name << " has extent "
                                << size << "; legal are 0 to 2147483647.";
        }
        if (spec.output && size > 1 && stride == 0 && !tensor.empty()) {
            strobe_user_error() << "In " << package.name << ": dimension " << d << " of the output " << spec.name
                                << " has stride 0, so that " << size
                                << " results would share one element; pass a tensor of its own memory.";
        }
        reach += __int128(size > 0 ? size - 1 : 0) * (stride < 0 ? -__int128(stride) : __int128(stride));
    }
    if (reach * spec.type.bytes() > std::numeric_limits<int64_t>::max()) {
        strobe_user_error() << "In " << package.name << ": " << spec.name
                            << " spans more than 2^63 bytes; its strides cannot be right.";
    }
}

void check_address(const KernelPackage &package, const BufferSpec &spec, const TensorArgument &tensor) {
    if (tensor.address == 0 && !tensor.empty()) {
        strobe_user_error() << "In " << package.name << ": " << spec.name
                            << " has elements but no device address; pass a pointer to device memory.";
    }
    if (tensor.address % spec.type.bytes() != 0) {
        strobe_user_error() << "In " << package.name << ": the address of " << spec.name
                            << " is not a multiple of its element's " << spec.type.bytes() << " bytes.";
    }
}

void check_equal_extents(const KernelPackage &package, const TensorArgument *tensors) {
    for (const EqualExtents &pair : package.equal_extents) {
        const int64_t a = tensors[pair.buffer_a].sizes[pair.dim_a], b = tensors[pair.buffer_b].sizes[pair.dim_b];
        if (a != b) {
            strobe_user_error() << "In " << package.name << ": dimension " << pair.dim_a << " of "
                                << package.buffers[pair.buffer_a].name << " has extent " << a << ", dimension "
                                << pair.dim_b << " of " << package.buffers[pair.buffer_b].name << " has extent " << b
                                << "; they must be equal.";
        }
    }
}

void check_fixed_extents(const KernelPackage &package, const TensorArgument *tensors) {
    for (const FixedExtent &fixed : package.fixed_extents) {
        const int64_t given = tensors[fixed.buffer].sizes[fixed.dim];
        if (fixed.at_least ? given < fixed.extent : given != fixed.extent) {
            strobe_user_error() << "In " << package.name << ": dimension " << fixed.dim << " of "
                                << package.buffers[fixed.buffer].name << " has extent " << given
                                << "; the kernels are compiled for " << (fixed.at_least ? "at least " : "")
                                << fixed.extent << ". Compile the algorithm for the one you have.";
        }
    }
}

void check_scalar(const KernelPackage &package, const ScalarSpec &spec, double value) {
    const bool integer = spec.type.code <= 1;
    if (integer) {
        const bool has_sign = spec.type.code == 0;
        const double top = std::ldexp(1.0, spec.type.bits - (has_sign ? 1 : 0)), bottom = has_sign ? -top : 0;
        if (!(value >= bottom && value < top) || value != std::floor(value)) {
            strobe_user_error() << "In " << package.name << ": " << spec.name << " must be a whole number that "
                                << name_of(spec.type) << " can hold, got " << value << ".";
        }
    }
    if ((spec.has_min && !(value >= spec.min)) || (spec.has_max && !(value <= spec.max))) {
        auto &&error = strobe_user_error();
        error << "In " << package.name << ": " << spec.name << " is " << value << "; legal are values ";
        if (spec.has_min) {
            error << "from " << spec.min << (spec.has_max ? " " : " upwards");
        }
        if (spec.has_max) {
            error << "up to " << spec.max;
        }
        error << ".";
    }
}
uint16_t bf16_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    if (std::isnan(value)) {
        return uint16_t((bits >> 16) | 0x40);
    }
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

uint16_t fp16_bits(double value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const double magnitude = std::fabs(value);
    if (std::isnan(value)) {
        return sign | 0x7e00;
    }
    if (magnitude >= 65520) {  // rounds to 2^16
        return sign | 0x7c00;
    }
    // The spacing of the numbers around it is 2^(exponent - 10); the smallest normal exponent is -14.
    const int exponent = magnitude == 0 ? -14 : std::max(std::ilogb(magnitude), -14);
    const auto steps = uint32_t(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));  // 0 .. 2048
    return uint16_t(sign + ((exponent + 14) << 10) + steps);
}

template<typename T>
int put(T value, void *to) {
    memcpy(to, &value, sizeof(value));
    return sizeof(value);
}

}  // namespace

bool TensorArgument::empty() const {
    for (int d = 0; d < rank; d++) {
        if (sizes[d] == 0) {
            return true;
        }
    }
    return false;
}

std::string name_of(const ElementType &type) {
    switch (type.code) {
    case 0:
        return "int" + std::to_string(type.bits);
    case 1:
        return type.bits == 1 ? "bool" : "uint" + std::to_string(type.bits);
    case 2:
        return "fp" + std::to_string(type.bits);
    case 4:
        return "bf" + std::to_string(type.bits);
    }
    return "code " + std::to_string(type.code) + ", " + std::to_string(type.bits) + " bits";
}

void check_tensors(const KernelPackage &package, const TensorArgument *tensors, int num_tensors) {
    check_count(package, package.buffers, num_tensors, "tensors");
    for (int i = 0; i < num_tensors; i++) {
        check_type_and_rank(package, package.buffers[i], tensors[i]);
        check_extents(package, package.buffers[i], tensors[i]);
        check_address(package, package.buffers[i], tensors[i]);
    }
    check_equal_extents(package, tensors);
    check_fixed_extents(package, tensors);
}

void check_scalars(const KernelPackage &package, const double *scalars, int num_scalars) {
    check_count(package, package.scalars, num_scalars, "scalars");
    for (int i = 0; i < num_scalars; i++) {
        check_scalar(package, package.scalars[i], scalars[i]);
    }
}

int64_t evaluate_count(const Count &count, const TensorArgument *tensors, const char *what) {
    int64_t product = 1;
    bool overflow = false;
    for (const CountTerm &term : count) {
        int64_t factor = term.divisor;
        if (term.buffer >= 0) {
            const int64_t extent = tensors[term.buffer].sizes[term.dim];
            factor = (extent + term.divisor - 1) / term.divisor;
        }
        if (factor == 0) {
            return 0;
        }
        overflow |= __builtin_mul_overflow(product, factor, &product);
    }
    if (overflow) {
        strobe_user_error() << "These tensors are too large: " << what << " leaves 63 bits.";
    }
    return product;
}

int write_scalar(const ElementType &type, double value, void *to) {
    switch (type.code) {
    case 0:
        switch (type.bits) {
        case 8:
            return put(int8_t(value), to);
        case 16:
            return put(int16_t(value), to);
        case 32:
            return put(int32_t(value), to);
        default:
            return put(int64_t(value), to);
        }
    case 1:
        switch (type.bits) {
        case 1:
        case 8:
            return put(uint8_t(value), to);
        case 16:
            return put(uint16_t(value), to);
        case 32:
            return put(uint32_t(value), to);
        default:
            return put(uint64_t(value), to);
        }
    case 4:
        return put(bf16_bits(float(value)), to);
    default:
        return type.bits == 64 ? put(value, to) : type.bits == 32 ? put(float(value), to) : put(fp16_bits(value), to);
    }
}

}  // namespace strobe
