"""The border to AWS's errors: what they mean for us."""

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from gapfill.errors import MarketAccessDenied, MarketError, MarketUnavailable, RegionNotEnabled

_DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "Blocked",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "PendingVerification",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_DENIED_TYPES = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)


def translate(region: str, error: Exception, *, home: str) -> MarketError:
    """The error of ours that says what `error`, raised by boto3 in `region`, means.

    AuthFailure is what a region answers that the account has not enabled; the home region is enabled, so there the
    credentials are wrong.
    """
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "OptInRequired" or (code == "AuthFailure" and region != home):
            return RegionNotEnabled(region, str(error))
        if code in _DENIED_CODES or code == "AuthFailure":
            return MarketAccessDenied(region, str(error))
    if isinstance(error, _DENIED_TYPES):
        return MarketAccessDenied(region, str(error))
    return MarketUnavailable(region, str(error))
