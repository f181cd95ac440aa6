#include "TileArguments.h"

#include "support/Error.h"

#include <cmath>
#include <cstring>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

template<typename T>
T read_as(const void *address) {
    T x;
    std::memcpy(&x, address, sizeof(T));
    return x;
}

template<typename T>
void write_as(void *address, T x) {
    std::memcpy(address, &x, sizeof(T));
}

void read_element(Type t, const void *from, Lanes &to, size_t p) {
    if (t.is_bfloat()) {
        to.f[p] = (double)(float)bfloat16_t::make_from_bits(read_as<uint16_t>(from));
    } else if (t.is_float()) {
        to.f[p] = t.bits() == 16   ? (double)(float)float16_t::make_from_bits(read_as<uint16_t>(from))
                  : t.bits() == 32 ? (double)read_as<float>(from)
                                   : read_as<double>(from);
    } else if (t.is_int()) {
        to.i[p] = t.bits() == 8    ? read_as<int8_t>(from)
                  : t.bits() == 16 ? read_as<int16_t>(from)
                  : t.bits() == 32 ? read_as<int32_t>(from)
                                   : read_as<int64_t>(from);
    } else {
        to.i[p] = t.bits() <= 8    ? read_as<uint8_t>(from)
                  : t.bits() == 16 ? read_as<uint16_t>(from)
                  : t.bits() == 32 ? read_as<uint32_t>(from)
                                   : (int64_t)read_as<uint64_t>(from);
    }
}

/** The address of an element; null outside the buffer. */
char *address_of(const Buffer<> &buffer, const std::vector<int64_t> &at) {
    const halide_buffer_t &b = *buffer.raw_buffer();
    strobe_internal_assert((size_t)b.dimensions == at.size())
        << buffer.name() << " has " << b.dimensions << " dimensions";
    int64_t offset = 0;
    for (int d = 0; d < b.dimensions; d++) {
        const int64_t i = at[d] - b.dim[d].min;
        if (i < 0 || i >= b.dim[d].extent) {
            return nullptr;
        }
        offset += i * (int64_t)b.dim[d].stride;
    }
    return (char *)b.host + offset * b.type.bytes();
}

bool ends_with_dimension(const std::string &name, const std::string &prefix, int &dimension) {
    if (name.size() <= prefix.size() || name.compare(0, prefix.size(), prefix) != 0) {
        return false;
    }
    dimension = std::atoi(name.c_str() + prefix.size());
    return true;
}

}  // namespace

const Buffer<> *buffer_of(const Call &load, const TileArguments &arguments) {
    if (load.image.defined()) {
        return &load.image;
    }
    auto found = arguments.buffers.find(load.param.defined() ? load.param.name() : load.name);
    return found == arguments.buffers.end() ? nullptr : &found->second;
}

void read_elements(const Buffer<> &buffer, const std::vector<Lanes> &index, bool poison, Lanes &lanes) {
    std::vector<int64_t> at(index.size());
    for (size_t p = 0; p < lanes.size(); p++) {
        for (size_t d = 0; d < index.size(); d++) {
            at[d] = index[d].i[p];
        }
        if (const void *element = address_of(buffer, at)) {
            read_element(buffer.type(), element, lanes, p);
        } else if (lanes.type.is_float()) {
            lanes.f[p] = poison ? std::nan("") : 0;
        } else {
            lanes.i[p] = poison && lanes.type.bits() > 1 ? 101 : 0;
        }
    }
}

void write_element(const Buffer<> &buffer, const std::vector<int> &at, double x) {
    void *element = address_of(buffer, std::vector<int64_t>(at.begin(), at.end()));
    strobe_internal_assert(element) << "a store outside of " << buffer.name();
    const Type t = buffer.type();
    if (t.is_bfloat()) {
        write_as<uint16_t>(element, bfloat16_t(x).to_bits());
    } else if (t.is_float()) {
        t.bits() == 16   ? write_as<uint16_t>(element, float16_t(x).to_bits())
        : t.bits() == 32 ? write_as<float>(element, (float)x)
                         : write_as<double>(element, x);
    } else {
        const int64_t i = (int64_t)x;
        std::memcpy(element, &i, t.bytes());  // little-endian: the low bytes
    }
}

bool argument_value(const std::string &name, const TileArguments &arguments, double &value) {
    auto scalar = arguments.scalars.find(name);
    if (scalar != arguments.scalars.end()) {
        value = scalar->second;
        return true;
    }
    for (const auto &entry : arguments.buffers) {
        const halide_buffer_t &b = *entry.second.raw_buffer();
        int d = 0;
        if (ends_with_dimension(name, entry.first + ".extent.", d) && d < b.dimensions) {
            value = b.dim[d].extent;
        } else if (ends_with_dimension(name, entry.first + ".min.", d) && d < b.dimensions) {
            value = b.dim[d].min;
        } else if (ends_with_dimension(name, entry.first + ".stride.", d) && d < b.dimensions) {
            value = b.dim[d].stride;
        } else {
            continue;
        }
        return true;
    }
    return false;
}

}  // namespace strobe
