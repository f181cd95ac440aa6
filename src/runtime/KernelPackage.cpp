#include "KernelPackage.h"

#include <cstring>
#include <type_traits>
#include <utility>

#include "support/Error.h"

namespace strobe {

namespace {

// Layout: magic, format version, size of the payload, checksum of the payload,
// payload. The checksum is taken over every byte after itself.
constexpr char magic[8] = {'S', 'T', 'R', 'O', 'B', 'E', 'K', 'P'};
constexpr uint32_t format_version = 5;
constexpr size_t header_size = sizeof(magic) + sizeof(uint32_t) + 2 * sizeof(uint64_t);
constexpr size_t checksum_offset = header_size - sizeof(uint64_t);

constexpr uint64_t max_text = 1 << 20, max_code = uint64_t(1) << 30, max_list = 4096;

/** FNV-1a: every step is invertible, so two payloads that differ in one byte never share it. */
uint64_t checksum_of(const uint8_t *data, size_t size) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) {
        h = (h ^ data[i]) * 0x100000001b3u;
    }
    return h;
}

struct Writer {
    std::vector<uint8_t> bytes;

    template<typename T>
    void number(const T &x) {
        static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
        uint8_t raw[sizeof(T)];
        memcpy(raw, &x, sizeof(T));
        bytes.insert(bytes.end(), raw, raw + sizeof(T));
    }
    void flag(const bool &x, const char *) {
        bytes.push_back(x ? 1 : 0);
    }
    void text(const std::string &x, const char *, uint64_t) {
        number(uint64_t(x.size()));
        bytes.insert(bytes.end(), x.begin(), x.end());
    }
    void kind(const ParamSpec::Kind &x) {
        bytes.push_back(uint8_t(x));
    }
    template<typename T>
    void list(const std::vector<T> &x, const char *) {
        number(uint32_t(x.size()));
        for (const T &element : x) {
            fields(*this, element);
        }
    }
};

struct Reader {
    const uint8_t *at, *end;

    void need(uint64_t n, const char *what) const {
        if (n > uint64_t(end - at)) {
            strobe_runtime_failure() << "kernel package is cut short or damaged: it ends inside " << what;
        }
    }
    template<typename T>
    void number(T &x) {
        static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
        need(sizeof(T), "a number");
        memcpy(&x, at, sizeof(T));
        at += sizeof(T);
    }
    void flag(bool &x, const char *what) {
        need(1, what);
        if (*at > 1) {
            strobe_runtime_failure() << "kernel package is damaged: " << what << " is " << int(*at) << ", not 0 or 1";
        }
        x = *at++ != 0;
    }
    void text(std::string &x, const char *what, uint64_t limit) {
        uint64_t n = 0;
        number(n);
        if (n > limit) {
            strobe_runtime_failure() << "kernel package is damaged: " << what << " claims " << n
                                     << " bytes, the limit is " << limit;
        }
        need(n, what);
        x.assign(reinterpret_cast<const char *>(at), n);
        at += n;
    }
    void kind(ParamSpec::Kind &x) {
        need(1, "the kind of a parameter");
        if (*at > uint8_t(ParamSpec::Kind::GridSize)) {
            strobe_runtime_failure() << "kernel package is damaged: no parameter kind " << int(*at);
        }
        x = ParamSpec::Kind(*at++);
    }
    template<typename T>
    void list(std::vector<T> &x, const char *what) {
        uint32_t n = 0;
        number(n);
        if (n > max_list) {
            strobe_runtime_failure() << "kernel package is damaged: " << what << " claims " << n
                                     << " entries, the limit is " << max_list;
        }
        need(n, what);  // an entry takes at least one byte
        x.resize(n);
        for (T &element : x) {
            fields(*this, element);
        }
    }
};

template<typename A, typename T, typename Expected>
using when_is = std::enable_if_t<std::is_same_v<std::remove_const_t<T>, Expected>, A>;

// One description of each struct serves the writer and the reader.
#define STROBE_FIELDS(TYPE)          \
    template<typename A, typename T> \
    when_is<void, T, TYPE> fields([[maybe_unused]] A &a, T &x)

STROBE_FIELDS(uint32_t) {
    a.number(x);
}
STROBE_FIELDS(ElementType) {
    a.number(x.code);
    a.number(x.bits);
}
STROBE_FIELDS(BufferSpec) {
    a.text(x.name, "a buffer's name", max_text);
    fields(a, x.type);
    a.number(x.rank);
    a.flag(x.output, "a buffer's output flag");
}
STROBE_FIELDS(ScalarSpec) {
    a.text(x.name, "a scalar's name", max_text);
    fields(a, x.type);
    a.flag(x.has_min, "a scalar's has_min flag");
    a.flag(x.has_max, "a scalar's has_max flag");
    a.number(x.min);
    a.number(x.max);
}
STROBE_FIELDS(CountTerm) {
    a.number(x.buffer);
    a.number(x.dim);
    a.number(x.divisor);
}
STROBE_FIELDS(TensorMapSpec) {
    a.number(x.buffer);
    a.list(x.box, "the box of a tensor map");
    a.number(x.swizzle_bytes);
}
STROBE_FIELDS(WorkspaceSpec) {
    a.list(x.elements, "the size of a workspace");
    a.number(x.element_bytes);
    a.flag(x.zeroed, "a workspace's zeroed flag");
}
STROBE_FIELDS(ParamSpec) {
    a.kind(x.kind);
    a.number(x.index);
    a.number(x.dim);
}
STROBE_FIELDS(KernelSpec) {
    a.text(x.entry, "a kernel's name", max_text);
    a.number(x.threads);
    a.number(x.shared_bytes);
    a.list(x.params, "a kernel's parameters");
    a.list(x.work, "a kernel's work");
    a.flag(x.persistent, "a kernel's persistent flag");
    a.number(x.blocks_per_sm);
    a.flag(x.overlaps, "a kernel's overlaps flag");
}
STROBE_FIELDS(LaunchPlan) {
    a.text(x.schedule, "a plan's schedule", max_text);
    a.list(x.kernels, "a plan's kernels");
    a.list(x.tensor_maps, "a plan's tensor maps");
    a.list(x.workspaces, "a plan's workspaces");
    a.number(x.query_tile);
    a.number(x.cost_per_unit);
    a.number(x.cost_per_step);
    a.list(x.steps, "a plan's steps");
    a.number(x.counted_kernel);
}
STROBE_FIELDS(EqualExtents) {
    a.number(x.buffer_a);
    a.number(x.dim_a);
    a.number(x.buffer_b);
    a.number(x.dim_b);
}
STROBE_FIELDS(FixedExtent) {
    a.number(x.buffer);
    a.number(x.dim);
    a.number(x.extent);
    a.flag(x.at_least, "a fixed extent's at_least flag");
}
STROBE_FIELDS(KernelPackage) {
    a.text(x.name, "the algorithm's name", max_text);
    a.text(x.architecture, "the architecture", max_text);
    a.flag(x.is_ptx, "the is_ptx flag");
    a.text(x.code, "the machine code", max_code);
    a.list(x.buffers, "the buffers");
    a.list(x.scalars, "the scalars");
    a.list(x.equal_extents, "the equal extents");
    a.list(x.fixed_extents, "the fixed extents");
    a.list(x.plans, "the plans");
}

#undef STROBE_FIELDS

}  // namespace

uint64_t stored_checksum(const uint8_t *data, size_t size) {
    uint64_t sum = 0;
    if (size >= header_size) {
        memcpy(&sum, data + checksum_offset, sizeof(sum));
    }
    return sum;
}

std::vector<uint8_t> serialize_package(const KernelPackage &package) {
    validate_package(package);
    Writer payload;
    fields(payload, package);
    Writer out;
    out.bytes.insert(out.bytes.end(), magic, magic + sizeof(magic));
    out.number(format_version);
    out.number(uint64_t(payload.bytes.size()));
    out.number(checksum_of(payload.bytes.data(), payload.bytes.size()));
    out.bytes.insert(out.bytes.end(), payload.bytes.begin(), payload.bytes.end());
    return std::move(out.bytes);
}

KernelPackage parse_package(const uint8_t *data, size_t size) {
    if (!data || size < header_size) {
        strobe_runtime_failure() << "not a kernel package: " << (data ? size : 0)
                                 << " bytes are fewer than the header's " << header_size;
    }
    if (memcmp(data, magic, sizeof(magic)) != 0) {
        strobe_runtime_failure() << "not a kernel package: it does not begin with \"STROBEKP\"";
    }
    Reader header{data + sizeof(magic), data + size};
    uint32_t version = 0;
    uint64_t payload_size = 0, checksum = 0;
    header.number(version);
    header.number(payload_size);
    header.number(checksum);
    if (version != format_version) {
        strobe_runtime_failure() << "kernel package has format version " << version << ", this runtime reads version "
                                 << format_version << "; compile the algorithm again";
    }
    if (payload_size != size - header_size) {
        strobe_runtime_failure() << "kernel package is cut short or damaged: its header promises " << payload_size
                                 << " bytes, " << size - header_size << " follow";
    }
    if (checksum_of(data + header_size, payload_size) != checksum) {
        strobe_runtime_failure() << "kernel package is damaged: its checksum does not match its content";
    }
    Reader reader{data + header_size, data + size};
    KernelPackage package;
    fields(reader, package);
    if (reader.at != reader.end) {
        strobe_runtime_failure() << "kernel package is damaged: " << reader.end - reader.at << " bytes follow its end";
    }
    validate_package(package);
    return package;
}

}  // namespace strobe
