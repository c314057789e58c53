output "role_arns" {
  description = "The role of each service account, for its annotation eks.amazonaws.com/role-arn."
  value       = { for account, role in aws_iam_role.account : account => role.arn }
}

output "queue_url" {
  description = "What `objseek watch --queue` takes."
  value       = aws_sqs_queue.events.url
}

output "state" {
  description = "What --state, or the setting index.state, takes."
  value       = "s3://${aws_s3_bucket.state.id}/manifest"
}
