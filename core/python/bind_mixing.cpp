#include "bind.hpp"
#include "narrows/bytes.hpp"

void bind_mixing(nb::module_& m) {
    m.attr("MAX_BLOCK_BYTES") = narrows::kMaxBlockBytes;
    m.def(
        "bytes_encode",
        [](const nb::bytes& block) {
            std::vector<uint8_t> payload;
            narrows::Status status;
            {
                nb::gil_scoped_release release;
                status = narrows::bytes_encode(view(block), payload);
            }
            raise_unless_ok(status, "a block is at most 16 MiB");
            return to_bytes(payload);
        },
        nb::arg("block"), "Code a block of bytes by itself; never more than a byte longer than the block.");
    m.def(
        "bytes_decode",
        [](const nb::bytes& payload, size_t size) {
            if (size > narrows::kMaxBlockBytes) throw nb::value_error("a block is at most 16 MiB");
            nb::bytes block(nullptr, size);
            narrows::Status status;
            {
                nb::gil_scoped_release release;
                status = narrows::bytes_decode(view(payload),
                                               {reinterpret_cast<uint8_t*>(PyBytes_AsString(block.ptr())), size});
            }
            raise_unless_ok(status, "a block of bytes that does not decode");
            return block;
        },
        nb::arg("payload"), nb::arg("size"), "The block of `size` bytes that `payload` codes.");
}
