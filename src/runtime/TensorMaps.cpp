#include "TensorMaps.h"

#include <cstring>
#include <memory>

#include "support/Error.h"

namespace strobe {

namespace {

constexpr int map_rank = 5;

/** Everything that a map is made from; compared byte by byte. */
struct MapKey {
    uint64_t address;
    uint64_t sizes[map_rank];
    uint64_t strides[map_rank];  // in bytes; [0] is unused
    uint32_t box[map_rank];
    uint32_t rank, type, swizzle;
};
static_assert(sizeof(MapKey) == 8 * (1 + 2 * map_rank) + 4 * (map_rank + 3), "a padded key would compare garbage");

struct CachedMap {
    cuda::TensorMap map;
    MapKey key;
    bool used;
};

constexpr size_t cache_size = 64;

size_t slot_of(const MapKey &key) {
    const auto *words = reinterpret_cast<const unsigned char *>(&key);
    uint64_t h = 0;
    for (size_t i = 0; i < sizeof(MapKey); i += 8) {
        uint64_t word;
        memcpy(&word, words + i, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return h % cache_size;
}

uint32_t map_type(const ElementType &type) {
    switch (type.code) {
    case 0:
        return type.bits == 64   ? cuda::map_i64
               : type.bits == 32 ? cuda::map_i32
               : type.bits == 16 ? cuda::map_u16
                                 : cuda::map_u8;
    case 1:
        return type.bits == 64   ? cuda::map_u64
               : type.bits == 32 ? cuda::map_u32
               : type.bits == 16 ? cuda::map_u16
                                 : cuda::map_u8;
    case 4:
        return cuda::map_bf16;
    default:
        return type.bits == 64 ? cuda::map_f64 : type.bits == 32 ? cuda::map_f32 : cuda::map_f16;
    }
}

MapKey key_of(const TensorMapSpec &spec, const BufferSpec &buffer, const TensorArgument &tensor, uint64_t empty_page) {
    MapKey key = {};
    const bool empty = tensor.empty();
    const uint64_t bytes = buffer.type.bytes();
    key.address = empty ? empty_page : tensor.address;
    key.rank = buffer.rank;
    key.type = map_type(buffer.type);
    key.swizzle = spec.swizzle_bytes;
    uint64_t packed = bytes;  // bytes from one index of this dimension to the next, were the tensor packed
    for (uint32_t d = 0; d < key.rank; d++) {
        key.box[d] = spec.box[d];
        key.sizes[d] = empty ? 1 : tensor.sizes[d];
        // A dimension of one element is never stepped over: any legal stride will do.
        const bool stepped = key.sizes[d] > 1 && d > 0;
        packed = (packed + 15) / 16 * 16;
        key.strides[d] = d == 0 ? 0 : stepped ? tensor.strides[d] * bytes : packed;
        packed = (d == 0 ? bytes : key.strides[d]) * key.sizes[d];
        if (packed >= (uint64_t(1) << 39)) {
            packed = 16;
        }
    }
    return key;
}

int swizzle_code(uint32_t bytes) {
    return bytes == 0 ? 0 : bytes == 32 ? 1 : bytes == 64 ? 2 : 3;
}

void encode(const MapKey &key, const BufferSpec &buffer, cuda::TensorMap *map) {
    const cuda::Driver &driver = cuda::driver();
    if (!driver.tensor_map_encode_tiled) {
        strobe_runtime_failure() << "the CUDA driver " << driver.library
                                 << " cannot encode tensor maps; it must be one for CUDA 12.0 or later";
    }
    const uint32_t ones[map_rank] = {1, 1, 1, 1, 1};
    const cuda::Result result = driver.tensor_map_encode_tiled(
        map, int(key.type), key.rank, reinterpret_cast<void *>(key.address), key.sizes, key.strides + 1, key.box, ones,
        cuda::map_interleave_none, swizzle_code(key.swizzle), cuda::map_l2_promotion_128, cuda::map_fill_zero);
    if (result != 0) {
        auto &&failure = strobe_runtime_failure();
        failure << "the CUDA driver refused the tensor map of " << buffer.name << " (extents";
        for (uint32_t d = 0; d < key.rank; d++) {
            failure << " " << key.sizes[d];
        }
        failure << ", strides in bytes";
        for (uint32_t d = 1; d < key.rank; d++) {
            failure << " " << key.strides[d];
        }
        failure << "): " << cuda::text_of(driver, result);
    }
}

}  // namespace

std::string tensor_map_problem(const TensorMapSpec &, const BufferSpec &buffer, const TensorArgument &tensor) {
    // Asked at every launch: no text is built unless there is something to say.
    if (tensor.empty()) {
        return "";
    }
    if (tensor.address % 16 != 0) {
        return "the address of " + buffer.name + " must be a multiple of 16 bytes";
    }
    if (tensor.sizes[0] > 1 && tensor.strides[0] != 1) {
        return "dimension 0 of " + buffer.name + " must have stride 1, got " + std::to_string(tensor.strides[0]);
    }
    const int64_t bytes = buffer.type.bytes(), longest = ((int64_t(1) << 40) - 1) / bytes;
    for (int d = 1; d < buffer.rank; d++) {
        const int64_t stride = tensor.strides[d];
        if (tensor.sizes[d] <= 1 || (stride > 0 && stride <= longest && stride * bytes % 16 == 0)) {
            continue;
        }
        const std::string has = "dimension " + std::to_string(d) + " of " + buffer.name + " has ";
        if (stride <= 0) {
            return has + "stride " + std::to_string(stride) + " over an extent of " + std::to_string(tensor.sizes[d]) +
                   "; a positive stride is needed (copy the tensor)";
        }
        if (stride > longest) {
            return has + "a stride of " + std::to_string(stride) + " elements; strides must stay below 2^40 bytes";
        }
        return has + "a stride of " + std::to_string(stride * bytes) + " bytes; it must be a multiple of 16";
    }
    return "";
}

void encode_tensor_map(const TensorMapSpec &spec, const BufferSpec &buffer, const TensorArgument &tensor,
                       uint64_t empty_page, cuda::TensorMap *map) {
    // On the heap: libraries opened late have little static thread storage.
    thread_local std::unique_ptr<CachedMap[]> cache(new CachedMap[cache_size]());
    const MapKey key = key_of(spec, buffer, tensor, empty_page);
    CachedMap &cached = cache[slot_of(key)];
    if (!cached.used || memcmp(&cached.key, &key, sizeof(key)) != 0) {
        cached.used = false;
        encode(key, buffer, &cached.map);
        cached.key = key;
        cached.used = true;
    }
    *map = cached.map;
}

}  // namespace strobe
