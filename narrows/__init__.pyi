from narrows.api import (
    Info as Info,
)
from narrows.api import (
    Preset as Preset,
)
from narrows.api import (
    Stream as Stream,
)
from narrows.api import (
    Verification as Verification,
)
from narrows.api import (
    codec as codec,
)
from narrows.api import (
    decode as decode,
)
from narrows.api import (
    decode_file as decode_file,
)
from narrows.api import (
    decoder as decoder,
)
from narrows.api import (
    encode as encode,
)
from narrows.api import (
    encode_file as encode_file,
)
from narrows.api import (
    encoder as encoder,
)
from narrows.api import (
    info as info,
)
from narrows.api import (
    open as open,
)
from narrows.api import (
    tokenizer as tokenizer,
)
from narrows.api import (
    verify as verify,
)
from narrows.contracts import (
    Want as Want,
)
from narrows.errors import (
    CorruptStream as CorruptStream,
)
from narrows.errors import (
    LimitExceeded as LimitExceeded,
)
from narrows.errors import (
    MissingExtra as MissingExtra,
)
from narrows.errors import (
    ModelError as ModelError,
)
from narrows.errors import (
    ModelNotFound as ModelNotFound,
)
from narrows.errors import (
    NarrowsError as NarrowsError,
)
from narrows.errors import (
    OptionError as OptionError,
)
from narrows.errors import (
    PacketError as PacketError,
)
from narrows.errors import (
    SignalError as SignalError,
)
from narrows.errors import (
    StreamError as StreamError,
)
from narrows.errors import (
    TruncatedStream as TruncatedStream,
)
from narrows.errors import (
    UnsupportedStream as UnsupportedStream,
)
from narrows.limits import (
    Limits as Limits,
)
from narrows.registry import (
    list_codecs as list_codecs,
)
from narrows.registry import (
    list_tokenizers as list_tokenizers,
)
from narrows.signals import (
    Audio as Audio,
)
from narrows.signals import (
    Blob as Blob,
)
from narrows.signals import (
    Formulas as Formulas,
)
from narrows.signals import (
    Image as Image,
)
from narrows.signals import (
    Tokens as Tokens,
)
from narrows.signals import (
    Vectors as Vectors,
)
from narrows.signals import (
    Video as Video,
)
from narrows.signals import (
    equal as equal,
)
from narrows.signals import (
    from_tensor as from_tensor,
)
from narrows.signals import (
    to_tensor as to_tensor,
)

from . import entropy as entropy
from . import models as models

__version__: str
__all__: list[str]
